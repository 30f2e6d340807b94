"""Passes over runs that Slurm ends against their will: no grace, no time, no memory."""

import time
from pathlib import Path

import pytest

from launcher.cluster import SlurmCluster
from tests.cluster.followed import (
    Followed,
    assert_one_job_a_stage,
    begin_requeue,
    ended,
    newest_step,
    on_slurm,
    submitting,
)
from tests.cluster.interrupted import fields, newest_job
from tests.cluster.slurm_cluster import SlurmCluster as Daemons
from tests.launcher.pretend_faults import Faulting, sliced_first
from tests.launcher.worlds import states

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("slurm")]


def begun(
    folder: Path,
    *overrides: str,
    partition: str = "preempt",
    requeue: bool = True,
    **parts: object,
) -> Followed:
    """A run of a folder of its own whose first job is a `Sliced` of these parts."""
    folder.mkdir()
    cluster = Faulting(SlurmCluster(), make=sliced_first(**parts), requeue=requeue)
    return submitting(on_slurm(folder, *overrides, partition=partition), cluster)


def until_done_by_command(run: Followed, limit_s: float = 120) -> None:
    """Passes as cron makes them, until the run is done."""
    give_up = time.monotonic() + limit_s
    while not set(states(run.ledger).values()) <= {"done", "reused"}:
        assert time.monotonic() < give_up, states(run.ledger)
        code, _, said = ended(begin_requeue(run.pipeline))
        assert code == 0, said
        assert_one_job_a_stage(run.ledger)


def test_job_that_ignores_the_signal_goes_on_from_its_last_checkpoint(
    slurm: Daemons, tmp_path: Path
) -> None:
    parts = {"steps": 5000, "step_s": 0.2, "deaf": True, "attempts": 2}
    requeued = begun(tmp_path / "requeued", partition="preempt", **parts)
    gone = begun(tmp_path / "gone", partition="preemptcancel", **parts)
    for run in (requeued, gone):
        run.until_saved("second", 4)

    slurm.preempt(1)
    gone.until_done()
    until_done_by_command(requeued)

    assert [s.rule for s in gone.rows["second"].submissions] == [None, "preempted"]
    job = requeued.rows["second"].submissions[0].slurm_id
    assert fields(requeued, "slurm_id", "restart") == [(job, 0), (job, 1)]
    for run in (requeued, gone):
        first, last = run.rows["second"].attempts
        assert (first.cause, first.exit_kind, last.state) == ("preemption", None, "COMPLETED")
        assert 4 <= (first.last_step or 0) - (first.steps_lost or 0) == last.first_step
        assert 0 <= (first.steps_lost or 0) <= 2  # it saves every second step
    assert [len(row.submissions) for row in gone.rows.values()] == [0, 2, 1, 1]
    assert [len(row.submissions) for row in requeued.rows.values()] == [0, 1, 1, 1]


def test_stage_longer_than_its_time_limit_is_done_in_slices(slurm: Daemons, tmp_path: Path) -> None:
    """Told of the limit it loses nothing; deaf to that, at most what it had not saved."""
    limits = ("cluster.time_limit=1m", "cluster.signal_lead=30s")
    parts = {"steps": 5000, "step_s": 0.1, "attempts": 3}
    told = begun(tmp_path / "told", *limits, **parts)
    gone = begun(tmp_path / "gone", *limits, requeue=False, **parts)
    deaf = begun(tmp_path / "deaf", *limits, deaf=True, **parts)

    for slices in (1, 2):
        deaf.until(lambda _, old=slices: len(deaf.rows["second"].submissions) == old)
        deaf.until_saved("second", max(newest_step(deaf.folder("second")), 0) + 4)
        job = newest_job(deaf)
        slurm.run("scontrol", "update", f"jobid={job}", "endtime=now+1")  # not in a minute
        gone.until(lambda _, job=job: slurm.state(job) == "TIMEOUT")
    for run in (deaf, gone, told):
        run.until_done()

    limit = "time-limit"
    assert [s.rule for s in deaf.rows["second"].submissions] == [None, limit, limit]
    assert [state for (state,) in fields(deaf, "state")] == ["TIMEOUT", "TIMEOUT", "COMPLETED"]
    assert all(0 <= lost <= 2 for (lost,) in fields(deaf, "steps_lost"))
    assert [s.rule for s in gone.rows["second"].submissions] == [None, "stopped", "stopped"]
    for run in (told, gone):
        assert [lost for (lost,) in fields(run, "steps_lost")] == [0, 0, 0]
    assert [len(row.submissions) for row in told.rows.values()] == [0, 1, 1, 1]


def test_job_whose_batch_script_is_killed_goes_on_from_what_its_ranks_saved(
    slurm: Daemons, tmp_path: Path
) -> None:
    """Slurm tells the ranks with SIGTERM and kills them 5 s later: most can still save."""
    parts = {"steps": 5000, "step_s": 0.1, "attempts": 2}
    heard = begun(tmp_path / "heard", requeue=False, **parts)
    deaf = begun(tmp_path / "deaf", deaf=True, **parts)
    for run in (heard, deaf):
        run.until_saved("second", 4)

    for run in (heard, deaf):
        slurm.run("scancel", "--signal=KILL", "--batch", newest_job(run))
    deaf.until(lambda now: now["second"] == "interrupted")
    put_off = len(deaf.rows["second"].submissions)
    deaf.ahead_s = 61
    for run in (heard, deaf):
        run.until_done()

    assert put_off == 1
    assert [s.rule for s in deaf.rows["second"].submissions] == [None, "failed"]
    assert [s.rule for s in heard.rows["second"].submissions] == [None, "stopped"]
    first, last = deaf.rows["second"].attempts
    assert (first.state, first.exit_kind, last.exit_kind) == ("FAILED", None, "done")
    assert 4 <= (first.last_step or 0) - (first.steps_lost or 0) == last.first_step
    assert [lost for (lost,) in fields(heard, "steps_lost")] == [0, 0]
    for run in (heard, deaf):
        assert [len(row.submissions) for row in run.rows.values()] == [0, 2, 1, 1]


def test_job_without_memory_is_tried_again_while_it_moves(tmp_path: Path) -> None:
    run = begun(tmp_path / "run", steps=6, slice_steps=3, quits="memory")

    run.until_done()

    again = "out-of-memory-again"
    assert [s.rule for s in run.rows["second"].submissions] == [None, again, again]
    steps = [(0, 3, 1), (2, 5, 1), (4, 6, 0)]
    assert fields(run, "first_step", "last_step", "steps_lost") == steps
    assert [len(row.submissions) for row in run.rows.values()] == [0, 3, 1, 1]
