"""Which stage's model takes weights that are to be evaluated; quick: without DeepSpeed."""

from pathlib import Path
from typing import Literal

import torch
from torch import nn

from model.config import ModelConfig
from model.errors import WeightsError
from model.stages import faults_of_start
from model.video_chat import VideoChat
from model.video_text import VideoTextPretraining

EvaluationKind = Literal["choice", "retrieval", "captions"]

STAGES: dict[EvaluationKind, tuple[int, ...]] = {
    "choice": (3, 2),
    "retrieval": (1,),
    "captions": (2, 3),
}
"""The stages whose weights each kind can evaluate, the usual one first."""
KINDS: dict[str, EvaluationKind] = {kind: kind for kind in STAGES}
"""The kinds by their words."""


def stage_of(config: ModelConfig, weights: Path, kind: EvaluationKind) -> int:
    """The first stage of `STAGES` whose model the weights fit as they are.

    Raises:
        WeightsError: They fit none, or cannot be read; what keeps the usual one is named.
    """
    for stage in STAGES[kind]:
        if not _faults(config, weights, stage):
            return stage
    faults = "\n".join(faults_of_evaluation(config, weights, kind))
    stages = " or ".join(map(str, STAGES[kind]))
    raise WeightsError(f"{weights}: {kind} needs the weights of stage {stages}:\n{faults}")


def faults_of_evaluation(config: ModelConfig, weights: Path, kind: EvaluationKind) -> list[str]:
    """What keeps weights from being evaluated, a line each; nothing where one stage fits.

    Raises:
        WeightsError: The file cannot be read.
    """
    found = [_faults(config, weights, stage) for stage in STAGES[kind]]
    return found[0] if all(found) else []


def bare_model(config: ModelConfig, stage: int) -> nn.Module:
    """A stage's model without memory, on the meta device."""
    with torch.device("meta"):
        return VideoTextPretraining(config) if stage == 1 else VideoChat(config, stage=stage)


def _faults(config: ModelConfig, weights: Path, stage: int) -> list[str]:
    return faults_of_start(bare_model(config, stage), weights, stage=None)
