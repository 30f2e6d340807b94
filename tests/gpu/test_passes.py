"""Forward and backward passes on a GPU, and on the CPU by the same code."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from model.pixels import IMAGENET_MEAN, IMAGENET_STD, normalised
from model.prompt import MEDIA_ID
from model.video_chat import VideoChat
from tests.gpu.batches import ROWS, TINY, chat_batch, micro_batch
from tests.gpu.marker import DEVICES

FUSED = {
    "cpu": [SDPBackend.FLASH_ATTENTION],
    "cuda": [
        SDPBackend.FLASH_ATTENTION,
        SDPBackend.EFFICIENT_ATTENTION,
        SDPBackend.CUDNN_ATTENTION,
    ],
}
ROUNDING = 1e-6
"""Of a pixel of about 1: a GPU multiplies by the inverse of 255, which the CPU divides by."""


@contextmanager
def waiting_is_an_error(device: str) -> Iterator[None]:
    """Lets nothing through for which the host waits for a GPU."""
    if device == "cuda":
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        if device == "cuda":
            torch.cuda.set_sync_debug_mode("default")


def chat_model(stage: int, device: str) -> VideoChat:
    torch.manual_seed(0)
    return VideoChat(TINY, stage=stage).to(device, torch.bfloat16)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("stage", [2, 3])
def test_forward_and_backward_make_the_host_wait_for_nothing(stage, device):
    module = chat_model(stage, device).train()
    batches = [chat_batch(n, instruction=stage == 3).to(device) for n in range(2)]
    module(batches[0])["loss"].backward()  # tables are brought to the GPU once

    with waiting_is_an_error(device):
        loss = module(batches[1])["loss"]
        loss.backward()

    assert loss.isfinite()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("stage", [2, 3])
def test_attention_takes_a_fused_kernel(stage, padded, device):
    module = chat_model(stage, device)
    # The CPU has no fused kernel with dropout.
    module.train(device == "cuda")
    batch = chat_batch(0, instruction=stage == 3, padded=padded).to(device)

    with sdpa_kernel(FUSED[device]):  # raises where none of them will do
        loss = module(batch)["loss"]
        loss.backward()

    assert loss.isfinite()


@pytest.mark.parametrize("device", DEVICES)
def test_grey_levels_are_normalised_alike_everywhere(device):
    levels = torch.arange(256, dtype=torch.uint8).repeat(3).view(1, 3, 16, 16)
    mean, std = (
        torch.tensor(each, dtype=torch.float64).view(3, 1, 1)
        for each in (IMAGENET_MEAN, IMAGENET_STD)
    )

    found = normalised(levels.to(device))

    wanted = (levels.double() / 255 - mean) / std
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.cpu().double(), wanted, atol=ROUNDING, rtol=ROUNDING)


@pytest.mark.parametrize("device", DEVICES)
def test_batch_arrives_with_what_is_known_of_it(device):
    batch = chat_batch(0, instruction=True)

    moved = batch.to(device, non_blocking=True)

    spliced = moved.ids.flatten()[moved.places.media]
    assert spliced.tolist() == [MEDIA_ID] * ROWS * TINY.num_visual_tokens
    assert moved.places.media_in_row == batch.places.media_in_row
    assert moved.places.media.device == moved.ids.device


@pytest.mark.gpu
def test_batch_of_the_loader_lies_in_pinned_memory():
    chat = micro_batch(0, instruction=True).arguments["batch"]

    tensors = [chat.ids, chat.mask, chat.labels, chat.video, chat.instruction_ids]
    places = [chat.places.media, chat.places.before_labels]

    assert all(each.is_pinned() for each in (*tensors, *places))
