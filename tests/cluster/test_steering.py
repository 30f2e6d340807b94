"""A person's wishes on the real Slurm: cancel, hold, resume, adopt."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from db.schema import Submission
from launcher.acting import acting
from launcher.adopt import adopt
from launcher.cluster import SlurmCluster
from launcher.errors import UsageError
from launcher.steer import Steering
from tests.cluster.followed import (
    ROOT,
    Followed,
    cancel_all,
    live_jobs,
    newest_step,
    on_slurm,
    submitting,
)
from tests.cluster.slurm_cluster import SlurmCluster as Daemons
from tests.launcher.pretend import Pretending
from tests.launcher.pretend_faults import Faulting, sliced
from tests.launcher.worlds import clock_of, states

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("slurm")]


def steer(run: Followed, wish: str, *names: str) -> list[str]:
    """Steers the newest run; gives what was said."""
    with acting(run.ledger, clock_of(None)) as lease:
        steering = Steering(lease, run.cluster, run.rows["second"].run_id)
        steered = getattr(steering, wish)(names)
    assert steered.undone == []
    return list(steered.said)


def long_run(folder: Path) -> Followed:
    """A run whose first job runs for long."""
    run = submitting(on_slurm(folder), Faulting(SlurmCluster(), make=sliced(steps=2000)))
    run.until(lambda now: now["second"] == "running")
    return run


def why(run: Followed, stage: str) -> dict[str, str]:
    """What `launcher why` tells, as a user runs it."""
    command = [sys.executable, "-m", "launcher", "why", stage, "--json"]
    told = subprocess.check_output(
        [*command, "--runs", str(run.pipeline.runs)], cwd=ROOT, text=True, timeout=180
    )
    return dict(json.loads(told))


def test_cancel_ends_the_stage_and_its_children_until_they_are_resumed(
    slurm: Daemons, tmp_path: Path
) -> None:
    run = long_run(tmp_path)

    said = steer(run, "cancel", "second")

    assert [line.split(",")[0] for line in said] == [
        f"stage {name} is cancelled" for name in ("second", "middle", "third")
    ]
    slurm.wait(lambda: live_jobs() == [], "the jobs are gone")
    run.pass_once()
    run.pass_once()
    assert (live_jobs(), set(states(run.ledger).values())) == ([], {"reused", "cancelled"})

    saved = max(0, newest_step(run.folder("second")))
    run.cluster = Faulting(SlurmCluster(), make=sliced(steps=saved + 4))
    steer(run, "resume", "second")

    run.until_done()
    assert [len(row.submissions) for row in run.rows.values()] == [0, 2, 2, 2]


def test_stage_resumed_while_its_cancelled_job_still_ends_gets_one_new_job(
    slurm: Daemons, tmp_path: Path
) -> None:
    run = submitting(on_slurm(tmp_path), Pretending(SlurmCluster(), steps=2000, deaf=True))
    run.until(lambda now: now["second"] == "running")
    slurm.wait(lambda: any(run.folder("second").events.glob("*.jsonl")), "it listens to nothing")

    steer(run, "cancel")  # Slurm has to kill it in the end
    run.cluster = Faulting(SlurmCluster())
    said = steer(run, "resume")

    assert "still ends; then it gets a new one" in said[0]
    run.until_done()
    assert [len(row.submissions) for row in run.rows.values()] == [0, 2, 2, 2]


def test_held_job_that_waits_stays_until_it_is_resumed(slurm: Daemons, tmp_path: Path) -> None:
    run = long_run(tmp_path)

    steer(run, "hold", "middle")
    run.pass_once()

    job = run.rows["middle"].submissions[-1].slurm_id or ""
    assert "JobHeld" in slurm.run("squeue", "-h", "-j", job, "-o", "%r")
    assert why(run, "middle")["rule"].startswith("held-by-launcher: held by `launcher hold`")

    steer(run, "resume", "middle")

    run.until(lambda now: now["middle"] == "waiting")
    assert "Dependency" in slurm.run("squeue", "-h", "-j", job, "-o", "%r")
    cancel_all()


def test_held_job_that_runs_saves_and_waits(tmp_path: Path) -> None:
    run = long_run(tmp_path)
    run.until_saved("second", 4)

    steer(run, "hold", "second")
    run.until(lambda now: now["second"] == "held")

    # On a slow machine it may have started once more before it was held.
    saved = newest_step(run.folder("second"))
    ended = [attempt for attempt in run.rows["second"].attempts if attempt.ended_at is not None]
    assert {attempt.steps_lost for attempt in ended} == {0}
    run.cluster = Faulting(SlurmCluster(), make=sliced(steps=saved + 4))
    steer(run, "resume")
    run.until(lambda now: now["second"] == "running")
    assert run.rows["second"].attempts[-1].first_step in (saved, None)
    cancel_all()


def test_job_whose_row_was_lost_is_adopted_and_finishes_the_run(tmp_path: Path) -> None:
    run = submitting(
        on_slurm(tmp_path), Faulting(SlurmCluster(), make=sliced(steps=60, step_s=0.1))
    )
    run.until(lambda now: now["second"] == "running")
    job = run.rows["second"].submissions[-1].slurm_id or ""
    with run.ledger.write() as session:  # an older copy of the ledger, put back
        row = session.get_one(Submission, run.rows["second"].submissions[-1].id)
        row.token, row.slurm_id = "t0000000000", None
        row.sent_at = (row.sent_at or 0.0) - 300.0

    with acting(run.ledger, clock_of(None)) as lease:
        run_id = run.rows["second"].run_id
        adopt(lease, run.cluster, run_id, "second", job)
        with pytest.raises(UsageError, match="is known already"):
            adopt(lease, run.cluster, run_id, "middle", job)

    run.until_done()
    assert [a.slurm_id for a in run.rows["second"].attempts] == [job]
