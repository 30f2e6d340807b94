"""What a pass costs for 1, 100 and 1,000 live stage runs, beside Slurm's own answers.

`python -m bench.passes` starts the test cluster, hands in that many held jobs, writes the rows that
a submit would have written, and times `launcher requeue` and the same questions asked by hand.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from bench.program import launcher, seconds, spread
from db import record
from db.engine import ledger_url
from db.ledger import Ledger
from db.schema import Run, StageRun, Submission
from db.states import StageKind, StageState
from launcher.cluster import parse
from launcher.cluster.base import job_name
from launcher.identity import user_name
from launcher.intent import new_token
from tests.cluster.slurm_cluster import SlurmCluster

SIZES = (1, 100, 1000)
STAGES = 4
TIMES = 5
UNKNOWN = "999999"
"""A Slurm id that accounting is asked about in every pass."""


def main() -> None:
    """Prints one line a size."""
    with SlurmCluster() as cluster:
        os.environ.update(cluster.env)
        os.environ.pop("LAUNCHER_LEDGER", None)
        for size in SIZES:
            folder = Path(tempfile.mkdtemp(prefix="bench-passes-"))
            measure(folder / "runs", cluster, size)
            shutil.rmtree(folder)


def measure(runs: Path, cluster: SlurmCluster, size: int) -> None:
    """Times passes over `size` live stage runs and one more, whose job nobody knows."""
    ids = make_runs(runs, cluster, size)
    pass_command = [sys.executable, "-m", "launcher", "requeue", "--json"]
    env = os.environ | {"LAUNCHER_RUNS": str(runs)}
    launcher("requeue", runs=runs)  # the first pass records all attempts
    ours, raw = [], []
    for _ in range(TIMES):
        ours += seconds(pass_command, env, 1)
        raw += seconds(["squeue", "-h", "-t", "all", "-O", parse.QUEUE_FORMAT], env, 1)
        raw[-1] += seconds(["sacct", "-D", "-X", "-n", "-j", UNKNOWN], env, 1)[0]
    start = median(seconds([sys.executable, "-m", "launcher", "requeue", "--help"], env, TIMES))
    queries = launcher("requeue", "--json", runs=runs).stdout.split('"queries": ')[1].split(",")[0]
    print(
        f"{size:5} live stage runs: pass {spread(ours)}; Slurm's answers {spread(raw)}; beyond "
        f"them {median(ours) - median(raw):.2f} s, of which {start:.2f} s start Python; "
        f"{queries} queries"
    )
    cluster.run("scancel", *ids)


def make_runs(runs: Path, cluster: SlurmCluster, size: int) -> list[str]:
    """Held jobs and the rows that stand for them; gives their Slurm ids."""
    ledger = Ledger.open(ledger_url(runs, {}), create=True)
    names = [(f"bench-{number // STAGES:04}", f"stage{number % STAGES}") for number in range(size)]
    tokens = [new_token() for _ in names]
    names.append(("bench-lost", "stage0"))
    tokens.append(new_token())
    with ThreadPoolExecutor(4) as pool:
        jobs = [job_name(stage, token) for (_, stage), token in zip(names, tokens, strict=True)]
        ids = list(pool.map(lambda name: submit_held(cluster, name), jobs[:-1]))
    rows: dict[str, list[StageRun]] = {}
    for (run, stage), token, slurm_id in zip(names, tokens, [*ids, UNKNOWN], strict=True):
        rows.setdefault(run, []).append(stage_row(stage, len(rows.get(run, ())), token, slurm_id))
    with ledger.write() as session:
        for run, stages in rows.items():
            record.create_run(session, run_row(runs, run, stages))
    return ids


def submit_held(cluster: SlurmCluster, name: str) -> str:
    """A job that waits until it is released."""
    size = ("--hold", "--requeue", "-N1", "-n1", "--output=/dev/null")
    return cluster.submit(*size, f"--job-name={name}", "--wrap=sleep 600")


def stage_row(stage: str, position: int, token: str, slurm_id: str) -> StageRun:
    """A stage whose job waits."""
    now = time.time()
    submission = Submission(
        token=token, fence=1, spec={}, parents=[], created_at=now, slurm_id=slurm_id, sent_at=now
    )
    return StageRun(
        stage=stage,
        position=position,
        kind=StageKind.TRAIN,
        needs=[],
        state=StageState.PENDING,
        nodes=1,
        gpus_per_node=0,
        tasks_per_node=1,
        resumable=True,
        cluster="slurm",
        updated_at=now,
        submissions=[submission],
    )


def run_row(runs: Path, name: str, stages: Sequence[StageRun]) -> Run:
    """A run of these stages."""
    for stage in stages:
        (runs / name / "stages" / stage.stage / "events").mkdir(parents=True)
    return Run(
        id=name,
        name="bench",
        folder=str(runs / name),
        pipeline_yaml="",
        code_sha="",
        code_dirty=False,
        submitted_by=user_name(),
        created_at=time.time(),
        stages=list(stages),
    )


if __name__ == "__main__":
    main()
