"""How long after a preemption in the CANCEL partition a stage is submitted again.

`python -m bench.detection` preempts four jobs at once, five times. The jobs save and leave, and do
not requeue themselves (as in a container without scontrol), so that only a pass can bring them
back. Passes begin every second here; from cron the wait for the next pass comes on top.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from db.ledger import Ledger
from db.queries import stages_of
from db.schema import StageRun
from db.states import StageState
from launcher.cluster import SlurmCluster
from launcher.pipeline import load_pipeline
from launcher.reconcile.run_pass import Passing
from tests.cluster.slurm_cluster import SlurmCluster as Daemons
from tests.launcher.pretend import Pretending
from tests.launcher.worlds import make_pipeline, open_ledger, submit_run

RUNS, PREEMPTIONS = 4, 5
SETTINGS = (
    *("cluster.backend=slurm", "cluster.partition=preemptcancel", "cluster.gpus_per_node=8"),
    *("cluster.tasks_per_node=1", "requeue.storm=1000"),
)


def main() -> None:
    """Prints the two delays."""
    folder = Path(tempfile.mkdtemp(prefix="bench-detection-"))
    with Daemons() as daemons:
        os.environ.update(daemons.env)
        cluster = Pretending(SlurmCluster(), steps=100_000, step_s=0.1)
        pipeline = make_pipeline(folder, SETTINGS)
        ledger = open_ledger(pipeline)
        ids = [submit_run(pipeline, cluster).id for _ in range(RUNS)]
        passing = Passing(ledger, lambda _: cluster, load_pipeline, digest_bytes=1e9)
        began: list[float] = []
        for _ in range(PREEMPTIONS):
            pass_until(passing, began, lambda: all(is_moving(s) for s in firsts(ledger, ids)))
            before = sum(len(stage.submissions) for stage in firsts(ledger, ids))
            daemons.preempt(2)
            pass_until(
                passing,
                began,
                lambda b=before: sum(len(s.submissions) for s in firsts(ledger, ids)) >= b + RUNS,
            )
        report(firsts(ledger, ids), began)
    shutil.rmtree(folder)


def firsts(ledger: Ledger, ids: list[str]) -> list[StageRun]:
    """The first job of each run."""
    with ledger.read() as session:
        return [stages_of(session, run_id)[1] for run_id in ids]


def is_moving(stage: StageRun) -> bool:
    """Whether its newest attempt has made a step."""
    last = stage.attempts[-1] if stage.attempts else None
    newest = stage.submissions[-1].slurm_id
    if last is None or last.slurm_id != newest or stage.state is not StageState.RUNNING:
        return False
    return (last.last_step or 0) > (last.first_step or 0)


def pass_until(passing: Passing, began: list[float], condition: Callable[[], bool]) -> None:
    """A pass each second until the condition holds, at most two minutes."""
    give_up = time.monotonic() + 120
    while not condition():
        if time.monotonic() > give_up:
            raise TimeoutError("the jobs did not get so far within two minutes")
        began.append(time.time())
        passing.run()
        time.sleep(max(0.0, began[-1] + 1 - time.time()))


def report(stages: list[StageRun], began: list[float]) -> None:
    """Prints p50 and the largest of both delays."""
    detected, ended, lost = [], [], 0
    for stage in stages:
        by_job = {attempt.slurm_id: attempt for attempt in stage.attempts}
        lost += sum(attempt.steps_lost or 0 for attempt in stage.attempts)
        for before, after in zip(stage.submissions, stage.submissions[1:], strict=False):
            at = after.submitted_at or 0.0
            detected.append(at - max(start for start in began if start <= at))
            ended.append(at - (by_job[before.slurm_id or ""].ended_at or at))
    print(f"{len(detected)} preemptions, {lost} steps lost")
    for what, found in (("start of the pass", detected), ("end of the attempt", ended)):
        print(
            f"{what} to new job submitted: p50 {median(found):.2f} s, max {max(found):.2f} s "
            "(Slurm tells ends in whole seconds)"
        )


if __name__ == "__main__":
    main()
