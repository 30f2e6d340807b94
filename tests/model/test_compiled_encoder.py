"""The compiled video encoder gives the numbers of the plain one, whatever the shapes."""

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


def numbers(module: VideoEncoder, clips: int, frames: int) -> list[torch.Tensor]:
    """Output and the gradients of all weights."""
    draw = torch.Generator().manual_seed(clips)
    module.zero_grad()
    out = module(torch.randn(clips, frames, 3, 32, 32, generator=draw))
    out.square().mean().backward()
    return [out.detach(), *(each.grad for each in module.parameters() if each.grad is not None)]


def test_compiled_encoder_computes_what_the_plain_one_does(tmp_path, monkeypatch):
    if hindrance := hindrance_of(encoder(), 1, has_gpu=False):
        pytest.skip(hindrance)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")
    compiled, plain = encoder(), encoder()
    compiled.compile_blocks()

    found = [(numbers(compiled, *shape), numbers(plain, *shape)) for shape in SHAPES]

    for theirs, ours in found:
        torch.testing.assert_close(theirs, ours)
    # It was compiled: sums are rounded in another order.
    pairs = [pair for each in found for pair in zip(*each, strict=True)]
    assert any(not torch.equal(one, other) for one, other in pairs)
