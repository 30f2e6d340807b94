"""A whole run on the real Slurm, whose stages pretend: order, interruption, figures."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.cluster import SlurmCluster
from launcher.pipeline import Pipeline
from launcher.reconcile.refresh import Refreshed, refresh_run
from launcher.submit import NewRun
from tests.cluster.slurm_cluster import SlurmCluster as Daemons
from tests.launcher.pretend import Pretending
from tests.launcher.worlds import make_pipeline, open_ledger, stage_rows, states, submit_run

pytestmark = pytest.mark.cluster


def submit(pipeline: Pipeline, *, steps: int, step_s: float) -> NewRun:
    cluster = Pretending(SlurmCluster(), steps=steps, step_s=step_s)
    return submit_run(pipeline, cluster)


def refresh_until(
    pipeline: Pipeline, run: NewRun, condition: Callable[[dict[str, str]], bool]
) -> Refreshed:
    """Refreshes each second until the states are as wanted."""
    ledger, give_up = open_ledger(pipeline), time.monotonic() + 120
    while True:
        seen = refresh_run(
            ledger, run.id, lambda _: SlurmCluster(), clock=time.time, digest_bytes=1e9
        )
        if condition(states(ledger)):
            return seen
        assert time.monotonic() < give_up, states(ledger)
        time.sleep(1)


def slurm_pipeline(folder: Path) -> Pipeline:
    return make_pipeline(
        folder, ["cluster.backend=slurm", "cluster.gpus_per_node=2", "cluster.tasks_per_node=1"]
    )


@pytest.mark.usefixtures("slurm")
def test_stages_run_in_order_and_their_figures_are_recorded(tmp_path: Path) -> None:
    pipeline = slurm_pipeline(tmp_path)
    run = submit(pipeline, steps=5, step_s=0.5)  # Slurm counts whole seconds

    refresh_until(pipeline, run, lambda now: now["third"] == "done")
    # A moment later Slurm knows the end of the last job as well.
    seen = refresh_until(pipeline, run, lambda _: _are_closed(pipeline))

    attempts = [row.attempts[0] for row in seen.stages[1:]]
    assert [(a.state, a.last_step, a.steps_lost, a.exit_kind) for a in attempts] == [
        ("COMPLETED", 5, 0, "done")
    ] * 3
    assert [bool(a.wall_clock_s) and a.gpu_s == 2 * (a.wall_clock_s or 0) for a in attempts] == [
        True
    ] * 3
    assert str(seen.stages[0].run.state) == "done"


def _are_closed(pipeline: Pipeline) -> bool:
    rows = stage_rows(open_ledger(pipeline)).values()
    return all(str(s.state) == "closed" for row in rows for s in row.submissions)


def test_requeued_job_goes_on_and_its_children_still_run(slurm: Daemons, tmp_path: Path) -> None:
    pipeline = slurm_pipeline(tmp_path)
    run = submit(pipeline, steps=40, step_s=0.1)
    job = run.slurm_ids["second"]
    refresh_until(pipeline, run, lambda now: now["second"] == "running")
    time.sleep(1)
    slurm.run("scontrol", "requeue", job)

    refresh_until(pipeline, run, lambda now: now["third"] == "done")

    attempts = stage_rows(open_ledger(pipeline))["second"].attempts
    assert [(a.restart, a.ended_at is not None) for a in attempts] == [(0, True), (1, True)]
    assert attempts[1].last_step == 40


def test_job_that_its_user_cancelled_is_cancelled_with_its_children(
    slurm: Daemons, tmp_path: Path
) -> None:
    pipeline = slurm_pipeline(tmp_path)
    run = submit(pipeline, steps=1000, step_s=0.1)
    refresh_until(pipeline, run, lambda now: now["second"] == "running")

    slurm.run("scancel", run.slurm_ids["second"])
    refresh_until(pipeline, run, lambda now: now["second"] == "cancelled")

    assert states(open_ledger(pipeline))["middle"] == "cancelled"
    slurm.run("scancel", run.slurm_ids["middle"], run.slurm_ids["third"])


def test_silent_controller_leaves_the_states_alone(slurm: Daemons, tmp_path: Path) -> None:
    pipeline = slurm_pipeline(tmp_path)
    run = submit(pipeline, steps=1000, step_s=0.1)
    refresh_until(pipeline, run, lambda now: now["second"] == "running")

    slurm.stop_controller()
    try:
        seen = refresh_until(pipeline, run, lambda _: True)
    finally:
        slurm.start_controller()

    assert "Unable to contact slurm controller" in seen.no_answer
    assert states(open_ledger(pipeline))["second"] == "running"
    slurm.run("scancel", *run.slurm_ids.values())
