"""Which parameters decay at full size, on the meta device."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from jobs.optimizer import UNDECAYED, parameter_groups
from model.layouts import from_reference
from model.presets import PRESETS
from model.video_chat import VideoChat
from model.video_text import VideoTextPretraining
from tests.parity.findings import Finding, same
from tests.parity.vectors import Vector

DECAY = 0.02
TEMPERATURE = "temperature"
"""One number, which decays under the original's DDP; ours never does."""


def recognises(vector: Vector) -> bool:
    """Lists of names that decay and of names that do not, for each of several models."""
    facts = vector.facts.values()
    return bool(facts) and all(isinstance(each, dict) and "no_decay" in each for each in facts)


def check(vector: Vector) -> Iterator[Finding]:
    """Both groups of each model: every name, and how many numbers they are."""
    for name, given in vector.facts.items():
        with torch.device("meta"):
            model = _model(name)
        # The original's exceptions by name do not work under DDP, which prefixes all names.
        wrapped = "DDP" in name
        undecayed = UNDECAYED["stage1"] if name.startswith("stage1") and not wrapped else ()
        groups = parameter_groups(model.named_parameters(), DECAY, undecayed)
        names = {id(parameter): ours for ours, parameter in model.named_parameters()}
        for group in groups:
            kind = "decay" if group["weight_decay"] else "no_decay"
            got = sorted(names[id(parameter)] for parameter in group["params"])
            want, numel = set(_our_names(given[kind])), given["numel"][kind]
            if wrapped:
                numel += -1 if TEMPERATURE in want else 1
                want ^= {TEMPERATURE}
            yield same(f"{name}.{kind}", got, sorted(want))
            size = sum(parameter.numel() for parameter in group["params"])
            yield same(f"{name}.{kind}.numel", size, numel)


def _model(name: str) -> nn.Module:
    """By the name that the list gives it: its stage and its language model."""
    stage, _, language_model = name.partition("_")
    if stage == "stage1":
        return VideoTextPretraining(PRESETS["videochat2_mistral"])
    return VideoChat(PRESETS[f"videochat2_{language_model}"], stage=int(stage[-1]))


def _our_names(theirs: list[str]) -> list[str]:
    shapes: dict[str, Any] = {name.removeprefix("module."): (1,) for name in theirs}
    return list(from_reference(shapes))
