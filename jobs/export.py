"""Turns a stage's final weights into files that others start from.

`python -m jobs.export RUN_FOLDER STAGE OUT`: the stage `language_model` becomes a folder
that transformers reads, any other stage one safetensors file. Weights are halved to
float16: they are loaded into whatever type the model has.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from jobs.build import model_config
from jobs.contract.manifest import done_marker
from jobs.contract.paths import RunFolder
from jobs.contract.spec import StageSpec
from jobs.language_model import PREFIX
from model.language_model import build_language_model
from model.weights import read_tensors, write_tensors


def export(run: RunFolder, stage: str, out: Path) -> None:
    """Writes the final weights of `stage` to `out`.

    Raises:
        FileNotFoundError: The stage has no valid final checkpoint with weights.
    """
    found = done_marker(run.stage(stage).checkpoints, digests=True)
    if found is None or found[1].weights is None:
        raise FileNotFoundError(
            f"stage {stage} of {run.root} has no final weights; look which stages are done: "
            "launcher status"
        )
    tensors = read_tensors(found[0] / found[1].weights, ("*",))
    halved = {name: value.to(torch.float16).contiguous() for name, value in tensors.items()}
    spec = StageSpec.read(run.stage(stage).spec)
    if spec.train is not None and spec.train.entry == "language_model":
        _write_language_model(halved, spec, out)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(halved, out)


def _write_language_model(tensors: dict[str, torch.Tensor], spec: StageSpec, folder: Path) -> None:
    language_model = build_language_model(model_config(spec.model).language_model)
    named = {name.removeprefix(PREFIX): value for name, value in tensors.items()}
    language_model.load_state_dict(named)
    language_model.half().save_pretrained(folder)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; 0, or 1 where there is nothing to export."""
    parser = argparse.ArgumentParser(
        prog="python -m jobs.export", description="Write a stage's final weights for others."
    )
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("stage")
    parser.add_argument("out", type=Path, help="file, or folder for a language model")
    args = parser.parse_args(argv)
    try:
        export(RunFolder(args.run), args.stage, args.out)
    except OSError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
