"""Passes while jobs are preempted, killed, stopped and cancelled."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobs.contract.task import StageTask
from launcher.cluster import SlurmCluster
from tests.cluster.followed import ROOT, Followed, cancel_all, live_jobs, on_slurm, submitting
from tests.cluster.interrupted import ALL_NODES, fields, never_satisfied, newest_job
from tests.cluster.slurm_cluster import SlurmCluster as Daemons
from tests.launcher.pretend import Pretending
from tests.launcher.pretend_faults import Faulting, Sliced, Stage, sliced, sliced_first
from tests.launcher.worlds import states

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("slurm")]


@pytest.mark.parametrize("partition", ["preempt", "preemptcancel"])
def test_preempted_job_that_requeues_itself_keeps_its_id_and_loses_nothing(
    slurm: Daemons, tmp_path: Path, partition: str
) -> None:
    make = sliced_first(steps=5000, step_s=0.1, attempts=2)
    run = submitting(
        on_slurm(tmp_path, ALL_NODES, partition=partition), Faulting(SlurmCluster(), make=make)
    )
    run.until_saved("second", 4)

    with following_logs(run, "second") as logs:
        assert logs.stderr is not None
        turns = [logs.stderr.readline()]
        slurm.preempt(1)
        run.until_done()
        out, err = logs.communicate(timeout=180)

    job = run.rows["second"].submissions[0].slurm_id
    assert fields(run, "slurm_id", "restart", "steps_lost") == [(job, 0, 0), (job, 1, 0)]
    assert [len(row.submissions) for row in run.rows.values()] == [0, 1, 1, 1]
    assert logs.returncode == 0
    assert [*turns, *err.splitlines(keepends=True)] == [
        f"--- second, attempt 1, job {job}.0 ---\n",
        f"--- second, attempt 2, job {job}.1 ---\n",
        "second: done: its final checkpoint is there and whole\n",
    ]
    (stopped,) = fields(run, "last_step")[0]
    told = [line.split("] ")[-1] for line in out.splitlines() if "second: " in line]
    assert told == [
        f"second: stopped stopped on a signal at step {stopped}",
        "second: back in the queue under the same id",
        "second: done",
    ]


@contextmanager
def following_logs(run: Followed, stage: str) -> Iterator["subprocess.Popen[str]"]:
    """`launcher logs -f`, begun while the stage runs."""
    command = [sys.executable, "-m", "launcher", "logs", "-f", stage]
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [*command, "--runs", str(run.pipeline.runs)], cwd=ROOT, stdout=pipe, stderr=pipe, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("partition", ["preempt", "preemptcancel"])
def test_preempted_job_without_scontrol_is_submitted_again_and_its_child_rewired(
    slurm: Daemons, tmp_path: Path, partition: str
) -> None:
    cluster = Pretending(SlurmCluster(), step_s=0.1, lasts="second")
    run = submitting(on_slurm(tmp_path, ALL_NODES, partition=partition), cluster)
    run.until(lambda _: fields(run, "first_step") == [(0,)])  # it has taken over its signals

    slurm.preempt(1)
    run.until(lambda _: ("second", "stopped") in run.rules)

    slurm.wait(lambda: never_satisfied(slurm) == [], "the child waits for the new job", 20)
    run.until_done()
    assert ("middle", "rewire") in run.rules
    assert [lost for (lost,) in fields(run, "steps_lost")] == [0, 0]
    assert [len(row.submissions) for row in run.rows.values()] == [0, 2, 1, 1]


def test_job_killed_without_a_word_is_submitted_again(tmp_path: Path) -> None:
    make = sliced(steps=400, slice_steps=5, quits="killed")
    run = submitting(on_slurm(tmp_path), Faulting(SlurmCluster(), make=make))

    run.until(lambda now: now["second"] == "interrupted")

    # It had moved: it is a failure that is tried again, after a minute.
    assert run.rows["second"].rule == "failed"
    run.ahead_s = 61
    run.until(lambda _: ("second", "failed") in run.rules)
    assert fields(run, "last_step", "steps_lost")[0] == (5, 1)
    cancel_all()


def test_job_that_its_user_cancels_is_never_tried_again(slurm: Daemons, tmp_path: Path) -> None:
    run = submitting(on_slurm(tmp_path), Faulting(SlurmCluster(), make=sliced(steps=2000)))
    run.until_saved("second", 2)

    slurm.run("scancel", newest_job(run))
    run.until(lambda now: now["third"] == "cancelled")
    slurm.wait(lambda: live_jobs() == [], "the jobs are gone")
    run.pass_once()

    assert states(run.ledger) == {
        "first": "reused",
        "second": "cancelled",
        "middle": "cancelled",
        "third": "cancelled",
    }
    assert [len(row.submissions) for row in run.rows.values()] == [0, 1, 1, 1]


def test_job_held_by_hand_is_left_alone_and_goes_on_when_it_is_released(
    slurm: Daemons, tmp_path: Path
) -> None:
    run = submitting(on_slurm(tmp_path), Faulting(SlurmCluster(), make=sliced(steps=20)))
    job = newest_job(run, "middle")

    slurm.run("scontrol", "uhold", job)
    run.until(lambda now: (now["second"], now["middle"]) == ("done", "held"))
    run.pass_once()
    held = (run.rows["middle"].rule, slurm.run("squeue", "-h", "-j", job, "-o", "%r").strip())
    slurm.run("scontrol", "release", job)
    run.until_done()

    assert held == ("held-in-queue", "JobHeldUser")
    assert [len(row.submissions) for row in run.rows.values()] == [0, 1, 1, 1]


def test_job_that_ends_well_without_its_result_holds_its_child_back(
    slurm: Daemons, tmp_path: Path
) -> None:
    """Exit 0 after half the work: Slurm lets the child start, and the child refuses."""
    make = sliced(steps=6, slice_steps=3, quits="well")
    run = submitting(on_slurm(tmp_path), Faulting(SlurmCluster(), make=make))
    child = run.rows["middle"].submissions[0].slurm_id
    slurm.wait(lambda: child not in [row.slurm_id for row in live_jobs()], "the child has ended")

    run.until_done()

    assert fields(run, "first_step", "state") == [(0, "COMPLETED"), (3, "COMPLETED")]
    first = run.rows["middle"].attempts[0]
    assert (first.exit_kind, first.fault, first.last_step) == ("refused", "parents", None)
    assert ("middle", "parents-not-done") in run.rules


@pytest.mark.usefixtures("slurm")
@pytest.mark.parametrize(
    ("quits", "rule", "code"), [("memory", "out-of-memory", 1), ("refuses", "refused", 93)]
)
def test_job_that_would_fail_again_is_given_up_and_its_children_leave_the_queue(
    tmp_path: Path, quits: str, rule: str, code: int
) -> None:
    make = sliced(steps=6, slice_steps=1, quits=quits)
    run = submitting(on_slurm(tmp_path), Faulting(SlurmCluster(), make=make))

    run.until(lambda now: now["second"] == "failed")
    # Slurm gives a grandchild up only after the child has left the queue.
    run.until(lambda _: live_jobs() == [])

    assert (run.rows["second"].rule, fields(run, "exit_code")) == (rule, [(code,)])
    assert states(run.ledger)["middle"] == "waiting"
    assert set(run.rules) >= {("middle", "parent-gave-up"), ("third", "parent-gave-up")}


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Daemons]:
    """A cluster of its own kind beside that of the other tests."""
    with Daemons(**request.param) as daemons:
        for name, value in daemons.env.items():
            monkeypatch.setenv(name, value)
        yield daemons


@pytest.mark.parametrize("own", [{"accounting": False}], indirect=True)
def test_run_is_finished_where_there_is_no_accounting(own: Daemons, tmp_path: Path) -> None:
    cluster = Pretending(SlurmCluster(), step_s=0.1, lasts="second")
    run = submitting(on_slurm(tmp_path, ALL_NODES), cluster)
    run.until(lambda now: now["second"] == "running")

    own.preempt(1)
    run.until_done()

    assert [lost for (lost,) in fields(run, "steps_lost")] == [0, 0]


def long_but_third(task: StageTask) -> Stage:
    """The first attempts of two stages last until somebody ends them."""
    short = task.stage == "third"
    return Sliced(task) if short else Sliced(task, steps=5000, step_s=0.1, attempts=2)


def is_known(daemons: Daemons, slurm_id: str) -> bool:
    """Whether the controller remembers a job."""
    return slurm_id in daemons.run("squeue", "-h", "-t", "all", "-o", "%i").split()


@pytest.mark.parametrize("own", [{"min_job_age_s": 2}], indirect=True)
def test_child_of_a_forgotten_parent_runs_after_it_and_never_waits_for_its_id(
    own: Daemons, tmp_path: Path
) -> None:
    cluster = Faulting(SlurmCluster(), make=long_but_third, requeue=False)
    run = submitting(on_slurm(tmp_path, ALL_NODES), cluster)
    run.until_saved("second", 2)
    first = newest_job(run)
    own.preempt(1)
    own.wait(lambda: not is_known(own, first), "the parent's first job is forgotten")

    run.until_saved("middle", 2)
    own.wait(lambda: not is_known(own, newest_job(run)), "its second job as well")
    own.preempt(1)
    run.until_done()

    second, middle = run.rows["second"], run.rows["middle"]
    assert [a.exit_kind for a in middle.attempts] == ["stopped", "done"]  # none was refused
    assert (middle.attempts[0].started_at or 0.0) >= (second.attempts[-1].ended_at or 0.0) > 0
    assert [s.rule for s in middle.submissions] == [None, "stopped"]
    assert middle.submissions[-1].parents == []
    assert [lost for (lost,) in fields(run, "steps_lost")] == [0, 0]
