"""Counts at the true sizes, equal to those of the reference's own code."""

import pytest
import torch

from model.freezing import count_parameters, trainable_parameters
from model.presets import PRESETS
from model.video_chat import VideoChat
from model.video_text import VideoTextPretraining


def counts(model):
    return count_parameters(model, trainable=True), count_parameters(model, trainable=False)


def test_stage_1_counts_at_true_size():
    with torch.device("meta"):
        model = VideoTextPretraining(PRESETS["videochat2_mistral"])

    assert counts(model) == (183_958_846, 290_477_056)


@pytest.mark.parametrize(
    ("preset", "stage", "trainable", "frozen"),
    [
        ("videochat2_mistral", 2, 395_301_376, 7_241_732_096),
        ("videochat2_mistral", 3, 518_344_448, 7_241_732_096),
        ("videochat2_vicuna", 2, 395_301_376, 6_738_423_808),
        ("videochat2_vicuna", 3, 484_212_480, 6_738_423_808),
    ],
)
def test_stage_counts_at_true_size(preset, stage, trainable, frozen):
    with torch.device("meta"):
        model = VideoChat(PRESETS[preset], stage=stage)

    assert counts(model) == (trainable, frozen)


PHI3_PROJECTOR = 768 * 3072 + 3072
PHI3_ADAPTERS = 16 * (
    32 * ((3072 + 3 * 3072) + (3072 + 3072) + (3072 + 2 * 8192) + (8192 + 3072)) + 3072 + 32064
)
"""Rank 16 beside the fused q, k, v, beside o, the fused gate and up, down, and the head."""


@pytest.mark.parametrize(
    ("stage", "trainable"),
    [
        (2, 395_301_376 - (768 * 4096 + 4096) + PHI3_PROJECTOR),
        (3, 518_344_448 - 42_520_576 - (768 * 4096 + 4096) + PHI3_PROJECTOR + PHI3_ADAPTERS),
    ],
)
def test_phi3_counts_at_true_size(stage, trainable):
    with torch.device("meta"):
        model = VideoChat(PRESETS["videochat2_phi3"], stage=stage)

    assert counts(model) == (trainable, 3_821_079_552)


@pytest.mark.parametrize(
    ("preset", "stage", "gigabytes"),
    [
        ("videochat2_mistral", 2, 4.7),
        ("videochat2_vicuna", 2, 4.7),
        ("videochat2_mistral", 3, 6.2),
        ("videochat2_vicuna", 3, 5.8),
    ],
)
def test_checkpoint_with_adam_has_the_size_of_the_reference(preset, stage, gigabytes):
    with torch.device("meta"):
        model = VideoChat(PRESETS[preset], stage=stage)
    trained = list(trainable_parameters(model).values())
    adam = torch.optim.AdamW(trained)
    for parameter in trained:
        parameter.grad = torch.empty_like(parameter)

    adam.step()

    kept = [each for state in adam.state.values() for each in state.values() if each.ndim]
    assert round(sum(each.nbytes for each in [*trained, *kept]) / 1e9, 1) == gigabytes


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "tiny"])
def test_clip_takes_96_tokens(preset):
    assert PRESETS[preset].num_visual_tokens == 96
