"""The compiled video encoder gives the same bits whatever it has seen before, as a resume needs."""

import pytest
import torch

from jobs.compiling import hindrance_of
from model.config import VideoEncoderConfig
from model.video_encoder import VideoEncoder

SHAPES = [(2, 2), (3, 1)]
"""Clips and frames."""
pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # torch's compiler warns of its own doings
    pytest.mark.slow,
]


def encoder() -> VideoEncoder:
    torch.manual_seed(0)
    cfg = VideoEncoderConfig(image_size=32, width=16, depth=2, blocks_built=2, heads=2)
    return VideoEncoder(cfg)


def bits(module: VideoEncoder, shapes: list[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
    """Output and a gradient for each shape, the shapes in this order."""
    found = {}
    for clips, frames in shapes:
        draw = torch.Generator().manual_seed(clips)
        module.zero_grad()
        out = module(torch.randn(clips, frames, 3, 32, 32, generator=draw))
        out.square().mean().backward()
        gradient = module.patch_embed.weight.grad
        found[clips, frames] = out.detach().numpy().tobytes() + gradient.numpy().tobytes()
    return found


def test_compiled_encoder_gives_the_same_bits_in_another_order_of_shapes(tmp_path, monkeypatch):
    if hindrance := hindrance_of(encoder(), 1, has_gpu=False):
        pytest.skip(hindrance)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")
    straight, resumed, plain = encoder(), encoder(), encoder()
    straight.compile_blocks()
    resumed.compile_blocks()

    first = bits(straight, SHAPES)
    torch.compiler.reset()
    second = bits(resumed, SHAPES[::-1])

    assert first == second
    assert first != bits(plain, SHAPES)  # it was compiled: sums are rounded in another order
