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

from jobs.build import model_config
from jobs.contract.spec import Model
from jobs.evaluation.fitting import KINDS, bare_model, faults_of_evaluation
from model.errors import ModelError
from model.stages import faults_of_start

STAGES: dict[str, int] = {"stage1": 1, "stage2": 2, "stage3": 3}
"""The number of the stage that each program runs."""


def find_faults(wanted: Model, weights: Path, entry: str) -> list[str]:
    """What keeps `weights` from a stage or a kind of evaluation; one line each."""
    try:
        config = model_config(wanted)
        if entry in KINDS:
            return faults_of_evaluation(config, weights, KINDS[entry])
        stage = STAGES[entry]
        return faults_of_start(bare_model(config, stage), weights, stage=stage)
    except ModelError as error:
        return [str(error)]


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; 0 whether the file fits or not, 2 for a call that makes no sense."""
    parser = argparse.ArgumentParser(prog="python -m jobs.check_weights")
    parser.add_argument("--model", required=True, help="`model` of the pipeline file, JSON")
    parser.add_argument("--weights", required=True, type=Path)
    parser.add_argument(
        "--entry", required=True, choices=(*STAGES, *KINDS), help="what starts from it"
    )
    args = parser.parse_args(argv)
    wanted = Model.model_validate_json(args.model)
    faults = find_faults(wanted, args.weights, args.entry)
    sys.stdout.write(json.dumps({"faults": faults}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
