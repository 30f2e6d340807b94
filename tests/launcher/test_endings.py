"""By whose fault attempts ended: one answer for the report, the metrics and the budgets."""

import pytest

from db.schema import Attempt
from launcher.endings import How, cause_of, causes, how_ended
from launcher.reconcile.history import count


def attempt(exit_kind: str | None, cause: str | None, ended_at: float | None = 200.0) -> Attempt:
    return Attempt(
        submission_id=1, stage_run_id=1, cluster="c", slurm_id="7", restart=0, state="?",
        started_at=100.0, ended_at=ended_at, exit_kind=exit_kind, cause=cause,
    )  # fmt: skip


ENDS = {
    (None, None): How.DONE,
    (None, "failure"): How.FAILED,
    (None, "out of memory"): How.FAILED,
    (None, "deadline"): How.FAILED,
    (None, "node failure"): How.INTERRUPTED,
    (None, "preemption"): How.INTERRUPTED,
    (None, "killed"): How.INTERRUPTED,
    (None, "requeue"): How.INTERRUPTED,
    (None, "cancelled"): How.CANCELLED,
    ("done", None): How.DONE,
    ("done", "node failure"): How.DONE,
    ("stopped", "stop signal"): How.INTERRUPTED,
    ("stopped", "time limit"): How.INTERRUPTED,
    ("stopped", "cancelled"): How.CANCELLED,
    ("failed", "failure"): How.FAILED,
    ("failed", "out of memory"): How.FAILED,
    ("failed", "killed"): How.FAILED,
    ("failed", "requeue"): How.FAILED,
    ("failed", None): How.FAILED,
    ("failed", "node failure"): How.INTERRUPTED,
    ("failed", "hardware"): How.INTERRUPTED,
    ("failed", "hang"): How.INTERRUPTED,
    ("failed", "preemption"): How.INTERRUPTED,
    ("failed", "cancelled"): How.CANCELLED,
    ("refused", "refused"): How.FAILED,
}


@pytest.mark.parametrize(("end", "how"), ENDS.items(), ids=str)
def test_fault_is_the_jobs_unless_the_cause_is_another_ones(
    end: tuple[str | None, str | None], how: How
) -> None:
    assert how_ended(attempt(*end)) is how


def test_attempt_that_runs_has_not_ended_and_no_cause() -> None:
    running = attempt(None, None, ended_at=None)

    assert (how_ended(running), cause_of(running)) == (How.RUNNING, "")


def test_causes_are_those_of_ends_that_were_not_good() -> None:
    found = [attempt(*end) for end in (("done", "failure"), (None, "hang"), (None, "hang"))]

    assert causes(found) == [("hang", 2)]


@pytest.mark.parametrize(("end", "how"), ENDS.items(), ids=str)
def test_budgets_count_failures_and_good_ends_without_a_result(
    end: tuple[str | None, str | None], how: How
) -> None:
    (past,) = count([attempt(*end)], None)

    assert past.failed is (how in (How.DONE, How.FAILED))
