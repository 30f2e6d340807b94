"""A small world for the launcher: a pipeline whose inputs exist, and clusters that pretend."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from db.engine import ledger_url
from db.ledger import Ledger
from db.queries import newest_run, stages_of
from db.schema import StageRun
from launcher.acting import acting
from launcher.cluster.base import Cluster
from launcher.pipeline import Pipeline
from launcher.submit import NewRun, Prepared, create_run, prepare, submit_jobs
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


def begin_run(pipeline: Pipeline, cluster: Cluster, at: float | None = None) -> NewRun:
    """Makes a run without handing a job over; `at` stops the clock, Unix seconds."""
    prepared = prepare(pipeline, cluster)
    with acting(open_ledger(pipeline), clock_of(at)) as lease:
        return create_run(prepared, cluster, lease)


def submit_run(pipeline: Pipeline, cluster: Cluster, at: float | None = None) -> NewRun:
    """Makes a run and hands its jobs over; `at` stops the clock, Unix seconds."""
    prepared = prepare(pipeline, cluster)
    return submit_prepared(prepared, cluster, open_ledger(pipeline), at)


def submit_prepared(
    prepared: Prepared, cluster: Cluster, ledger: Ledger, at: float | None = None
) -> NewRun:
    """The same for a pipeline that has been checked."""
    with acting(ledger, clock_of(at)) as lease:
        run = create_run(prepared, cluster, lease)
        submit_jobs(prepared, run, cluster, lease)
    return run


def clock_of(at: float | None) -> Callable[[], float]:
    """The real clock, or one that stands still."""
    return time.time if at is None else lambda: at


def stage_rows(ledger: Ledger) -> dict[str, StageRun]:
    """The stage runs of the newest run, by name."""
    with ledger.read() as session:
        run = newest_run(session)
        assert run is not None
        return {row.stage: row for row in stages_of(session, run.id)}


def states(ledger: Ledger) -> dict[str, str]:
    """Their states."""
    return {name: str(row.state) for name, row in stage_rows(ledger).items()}
