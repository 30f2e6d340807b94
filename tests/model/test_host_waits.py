"""No forward or backward pass asks the device for a value: on `meta` nothing has one."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from model.batch import ChatBatch
from model.presets import PRESETS
from model.video_chat import VideoChat
from model.video_text import VideoTextPretraining
from tests.model.test_video_chat import pad

TINY = PRESETS["tiny"]
META = torch.device("meta")


def trained(module: torch.nn.Module) -> Iterator[torch.nn.Parameter]:
    return (each for each in module.parameters() if each.requires_grad)


@pytest.mark.parametrize(
    ("stage", "bos", "side"),
    [(2, "word", None), (2, "word", "right"), (3, "word", None), (3, "reference", "left")],
)
def test_step_of_a_conversation_needs_no_value_of_the_device(make_batch, stage, bos, side):
    batch = make_batch(instruction=stage == 3)
    batch = replace(batch, ids=torch.cat([torch.ones(2, 1).long(), batch.ids[:, 1:]], dim=1))
    batch = batch if side is None else pad(batch, side)
    module = VideoChat(replace(TINY, bos=bos), stage=stage).to(META).train()

    loss = module(batch.to(META))["loss"]
    loss.backward()

    assert (loss.shape, loss.device) == ((), META)
    assert any(each.grad is not None for each in trained(module))


def test_step_of_a_text_needs_no_value_of_the_device():
    ids = torch.randint(3, 200, (2, 6))
    module = VideoChat(TINY, stage=3).to(META).train()

    module(ChatBatch(ids, torch.ones_like(ids), ids).to(META))["loss"].backward()

    assert any(each.grad is not None for each in trained(module))


def test_step_of_pairs_needs_no_value_of_the_device():
    module = VideoTextPretraining(TINY).to(META).train()
    ids = torch.ones(3, 5, dtype=torch.int64, device=META)
    video = torch.zeros(3, 4, 3, 32, 32, dtype=torch.uint8, device=META)

    module(video, ids, ids, torch.arange(3, device=META))["loss"].backward()

    assert any(each.grad is not None for each in trained(module))


def test_asking_a_device_for_a_value_is_seen_here():
    with pytest.raises(RuntimeError, match="meta"):
        bool(torch.zeros(1, device=META))
    with pytest.raises(RuntimeError, match="meta"):
        torch.zeros(2, device=META)[torch.ones(2, dtype=torch.bool, device=META)]
