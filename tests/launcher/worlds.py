"""A small world for the launcher: a pipeline whose inputs exist, and clusters that pretend."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from db.engine import ledger_url
from db.ledger import Ledger
from db.queries import newest_run, stages_of
from db.schema import StageRun
from launcher.pipeline import Pipeline
from tests.launcher.pipelines import load

TEXT = """\
name: demo
model: {preset: tiny}
cluster:
  backend: local
  time_limit: 10m
  python: PYTHON
stages:
  first:
    reuse: weights/first.pth
  second:
    needs: [first]
    train: &train
      entry: stage2
      lr: 1e-4
      batch_per_gpu: 4
      data: [{annotations: data/a.json, media: data}]
  middle:
    needs: [second]
    train: *train
  third:
    needs: [middle]
    evaluate:
      tasks: [{name: Moving, annotations: data/a.json}]
"""


def make_pipeline(
    folder: Path, overrides: Sequence[str] = (), *, faults: Sequence[str] = ()
) -> Pipeline:
    """A pipeline of a reused stage and three jobs, all inputs there.

    Args:
        folder: Where to.
        overrides: Of `--set`.
        faults: What the check of the reused weights finds.
    """
    for name in ("weights", "data"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "weights" / "first.pth").write_bytes(b"weights")
    (folder / "data" / "a.json").write_text("[]")
    python = make_python(folder, json.dumps({"faults": list(faults)}))
    return load(folder, TEXT.replace("PYTHON", str(python)), overrides)


def make_python(folder: Path, answer: str, *, code: int = 0) -> Path:
    """A Python that answers the check of weights so, without torch, and else is the real one."""
    path = folder / "python"
    path.write_text(
        "#!/bin/sh\n"
        f'if [ "$2" != jobs.check_weights ]; then exec {sys.executable} "$@"; fi\n'
        f'echo "$@" >> {folder}/checked\n'
        f"cat <<'END'\n{answer}\nEND\n"
        f"exit {code}\n"
    )
    path.chmod(0o755)
    return path


def open_ledger(pipeline: Pipeline) -> Ledger:
    """The pipeline's ledger, made if need be."""
    return Ledger.open(ledger_url(pipeline.runs, {}), create=True)


def stage_rows(ledger: Ledger) -> dict[str, StageRun]:
    """The stage runs of the newest run, by name."""
    with ledger.read() as session:
        run = newest_run(session)
        assert run is not None
        return {row.stage: row for row in stages_of(session, run.id)}


def states(ledger: Ledger) -> dict[str, str]:
    """Their states."""
    return {name: str(row.state) for name, row in stage_rows(ledger).items()}
