"""Counts at the true sizes, equal to those of the reference's own code."""

import pytest
import torch

from model.freezing import count_parameters
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


def test_phi3_has_its_published_size():
    with torch.device("meta"):
        model = VideoChat(PRESETS["videochat2_phi3"], stage=3)

    assert count_parameters(model, trainable=False) == 3_821_079_552


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "tiny"])
def test_clip_takes_96_tokens(preset):
    assert PRESETS[preset].num_visual_tokens == 96
