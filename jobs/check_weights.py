"""Says whether a weights file fits the stage that is to start from it.

`python -m jobs.check_weights --model JSON --weights FILE --entry stage2` prints
`{"faults": [...]}`; the launcher, which has no torch, calls it before anything is submitted.
The model is built without memory, on the meta device; of the file only names and shapes
are read.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from jobs.build import model_config
from jobs.contract.spec import Model
from jobs.evaluation.fitting import STAGES as EVALUATED
from jobs.evaluation.fitting import EvaluationKind, faults_of_evaluation
from model.config import ModelConfig
from model.errors import ModelError
from model.stages import faults_of_start
from model.video_chat import VideoChat
from model.video_text import VideoTextPretraining

STAGES: dict[str, int] = {"stage1": 1, "stage2": 2, "stage3": 3}
"""The number of the stage that each program runs."""


def find_faults(wanted: Model, weights: Path, *, stage: int | None) -> list[str]:
    """What keeps `weights` from starting `stage` (None: from being used as they are)."""
    try:
        return faults_of_start(_bare_model(model_config(wanted), stage), weights, stage=stage)
    except ModelError as error:
        return [str(error)]


def evaluation_faults(wanted: Model, weights: Path, kind: EvaluationKind) -> list[str]:
    """What keeps `weights` from an evaluation of this kind; one line each."""
    try:
        return faults_of_evaluation(model_config(wanted), weights, kind)
    except ModelError as error:
        return [str(error)]


def _bare_model(config: ModelConfig, stage: int | None) -> nn.Module:
    with torch.device("meta"):
        if stage == 1:
            return VideoTextPretraining(config)
        return VideoChat(config, stage=stage or 3)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; 0 whether the file fits or not, 2 for a call that makes no sense."""
    parser = argparse.ArgumentParser(prog="python -m jobs.check_weights")
    parser.add_argument("--model", required=True, help="`model` of the pipeline file, JSON")
    parser.add_argument("--weights", required=True, type=Path)
    parser.add_argument(
        "--entry", required=True, choices=(*STAGES, *EVALUATED), help="what starts from it"
    )
    args = parser.parse_args(argv)
    wanted = Model.model_validate_json(args.model)
    if args.entry in EVALUATED:
        faults = evaluation_faults(wanted, args.weights, args.entry)
    else:
        faults = find_faults(wanted, args.weights, stage=STAGES[args.entry])
    sys.stdout.write(json.dumps({"faults": faults}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
