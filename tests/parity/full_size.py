"""Our models at full size, without memory, by what the original's descriptions call them."""

import re
from functools import cache

import torch

from model.presets import PRESETS
from model.video_chat import VideoChat
from model.video_text import VideoTextPretraining

FORMS = {"mistral": "mistral", "vicuna": "vicuna", "phi": "phi3"}
STAGES = {"qformer": 1, "pt": 2, "it": 3}
"""What the name of the original's class holds, and the number of the stage."""


def stage_of(text: str) -> tuple[int, str]:
    """Stage and form of the class that a text names; stage 1 has no language model."""
    found = re.search(r"VideoChat2_(qformer|pt|it)(?:_(mistral|vicuna|phi))?", text)
    if found is None:
        raise ValueError(f"{text!r} names no model of the original")
    return STAGES[found[1]], FORMS[found[2] or "mistral"]


@cache
def full_size(stage: int, form: str) -> VideoChat | VideoTextPretraining:
    """The model of a stage on the meta device."""
    config = PRESETS[f"videochat2_{form}"]
    with torch.device("meta"):
        return VideoTextPretraining(config) if stage == 1 else VideoChat(config, stage=stage)
