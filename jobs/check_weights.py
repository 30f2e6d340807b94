"""Says whether a weights file fits the stage that is to start from it.

`python -m jobs.check_weights --model JSON --weights FILE --stage 2` prints
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
from model.config import LanguageModelConfig, ModelConfig, replace_language_model
from model.errors import ModelError
from model.stages import faults_of_start
from model.video_chat import VideoChat
from model.video_text import VideoTextPretraining


def find_faults(wanted: Model, weights: Path, *, stage: int | None) -> list[str]:
    """What keeps `weights` from starting `stage` (None: from being evaluated); one line each."""
    try:
        return faults_of_start(_bare_model(model_config(wanted), stage), weights, stage=stage)
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
    parser.add_argument("--stage", type=int, help="stage that starts from it; none: evaluation")
    args = parser.parse_args(argv)
    faults = find_faults(Model.model_validate_json(args.model), args.weights, stage=args.stage)
    sys.stdout.write(json.dumps({"faults": faults}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
