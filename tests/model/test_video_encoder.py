import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from model.errors import SpliceError
from model.pixels import IMAGENET_MEAN, IMAGENET_STD, normalised
from model.video_encoder import VideoEncoder, position_table


@pytest.fixture
def encoder(tiny):
    return VideoEncoder(tiny.video_encoder).eval()


def table(frames, grid=4, *, table_frames=4, table_grid=4):
    return position_table(8, frames, grid, table_frames=table_frames, table_grid=table_grid)


@pytest.mark.parametrize("frames", [1, 4, 8])
def test_tokens_count_frames_times_patches(encoder, frames):
    tokens = encoder(torch.randn(2, frames, 3, 32, 32))

    assert (tokens.shape, tokens.dtype) == ((2, frames * 16, 128), torch.float32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_grey_levels_are_normalised_in_float32_whatever_the_weights(encoder, dtype):
    levels = torch.arange(256, dtype=torch.uint8).repeat(24).view(1, 2, 3, 32, 32)
    mean, std = (torch.tensor(each)[:, None, None] for each in (IMAGENET_MEAN, IMAGENET_STD))
    encoder = encoder.to(dtype)

    tokens = encoder(levels)

    assert torch.equal(tokens, encoder((levels.float() / 255 - mean) / std))
    assert torch.equal(normalised(levels), (levels.float() / 255 - mean) / std)


def test_half_precision_weights_give_half_precision_tokens(encoder):
    tokens = encoder.bfloat16()(torch.randn(1, 1, 3, 32, 32))

    assert tokens.dtype == torch.bfloat16


def test_every_frame_sees_every_other(encoder):
    video = torch.randn(1, 4, 3, 32, 32)
    changed = video.clone()
    changed[:, 3] += 1

    first_frame = (encoder(video) - encoder(changed))[:, :16]

    assert first_frame.abs().min(dim=-1).values.max() > 0


def test_recompute_gives_the_same_gradient(tiny):
    video = torch.randn(1, 4, 3, 32, 32)
    plain = VideoEncoder(tiny.video_encoder)
    thrifty = VideoEncoder(replace(tiny.video_encoder, recompute=True))
    thrifty.load_state_dict(plain.state_dict())

    for encoder in (plain, thrifty):
        encoder(video).square().mean().backward()

    assert torch.equal(plain.patch_embed.weight.grad, thrifty.patch_embed.weight.grad)


def test_drop_path_changes_training_only(tiny):
    encoder = VideoEncoder(replace(tiny.video_encoder, drop_path=0.5))
    video = torch.randn(4, 1, 3, 32, 32)

    assert not torch.equal(encoder.train()(video), encoder(video))
    assert torch.equal(encoder.eval()(video), encoder(video))


@pytest.mark.parametrize("size", [(3, 40, 32), (3, 36, 36), (1, 32, 32), (3, 4, 4)])
def test_frame_whose_patches_are_no_square_is_refused_with_its_size(encoder, size):
    with pytest.raises(SpliceError, match=re.escape(f"a frame is {size}") + r".*\(3, 32, 32\)"):
        encoder(torch.randn(1, 1, *size))


@pytest.mark.parametrize(("height", "width"), [(48, 48), (16, 16), (16, 64)])
def test_encoder_takes_other_sizes_than_it_was_made_for(encoder, height, width):
    tokens = encoder(torch.randn(1, 2, 3, height, width))

    assert tokens.shape == (1, 2 * height * width // 64, 128)


def test_positions_of_a_wide_frame_are_those_of_the_square_with_as_many_patches(encoder):
    encoder.blocks = nn.ModuleList()
    black = torch.zeros(1, 4, 3, 32, 32)

    assert torch.equal(encoder(black), encoder(black.view(1, 4, 3, 16, 64)))


def test_only_queries_and_values_have_a_bias(encoder):
    names = {name for name, _ in encoder.blocks[0].attn.named_parameters()}

    assert names == {"q_bias", "v_bias", "qkv.weight", "proj.weight", "proj.bias"}


def test_table_of_four_frames_is_sines_of_the_flat_index():
    positions = torch.arange(64.0, dtype=torch.float64)

    assert torch.allclose(table(4)[:, 0], positions.sin().float())
    assert torch.allclose(table(4)[:, 7], (positions / 1000).cos().float())


def test_table_of_one_frame_is_the_first_of_four():
    assert torch.equal(table(1, table_frames=1), table(4)[:16])


def test_image_has_the_positions_of_a_first_frame_not_of_the_middle(encoder):
    encoder.blocks = nn.ModuleList()
    image, clip = torch.zeros(1, 1, 3, 32, 32), torch.zeros(1, 4, 3, 32, 32)

    assert torch.equal(encoder(image), encoder(clip)[:, :16])


def test_table_of_eight_frames_lies_between_the_four():
    four, eight = table(4).view(4, 16, 8), table(8).view(8, 16, 8)

    assert torch.equal(eight[[0, 7]], four[[0, 3]])
    assert torch.allclose(eight[1], 0.75 * four[0] + 0.25 * four[1], atol=1e-6)


def test_table_of_another_grid_keeps_the_mean_of_each_channel():
    coarse = table(1, 14, table_frames=1, table_grid=14)
    fine = table(1, 28, table_frames=1, table_grid=14)

    assert fine.shape == (28 * 28, 8)
    assert torch.allclose(coarse.mean(0), fine.mean(0), atol=0.02)
