"""The account of a run over its attempts."""

import pytest

from db.schema import Attempt, Run, StageRun
from db.states import StageKind, StageState
from jobs.contract.events import Event
from launcher.accounting.account import account_for


def a_stage(*attempts: Attempt, state: StageState = StageState.DONE, **more) -> StageRun:
    run = Run(
        id="r", name="r", folder="r", pipeline_yaml="", code_sha="c", code_dirty=False,
        submitted_by="me", created_at=900.0,
    )  # fmt: skip
    row = StageRun(
        stage="s", position=0, kind=StageKind.TRAIN, needs=[], state=state, nodes=4,
        gpus_per_node=8, tasks_per_node=8, resumable=True, cluster="c", updated_at=0.0, **more,
    )  # fmt: skip
    row.run = run
    row.attempts.extend(attempts)
    return row


def an_attempt(number: int, began: float, ended: float | None, **more) -> Attempt:
    return Attempt(
        submission_id=1, stage_run_id=1, cluster="c", slurm_id="7", restart=number, state="?",
        started_at=began, ended_at=ended, queued_s=30.0, **more,
    )  # fmt: skip


def steps(began: float, first: int, last: int) -> list[Event]:
    """Ten seconds of start, then a step a second."""
    return [
        Event(began + 10, "started", {"resume_step": first}),
        Event(began + 10 + last - first, "step", {"step": last, "step_s": 1.0, "data_s": 0.0}),
    ]


def test_each_step_is_lost_once_when_an_attempt_goes_back_behind_two_others():
    told = {0: steps(1000, 0, 100), 1: steps(2000, 100, 150), 2: steps(3000, 50, 150)}
    row = a_stage(an_attempt(0, 1000, 1110), an_attempt(1, 2000, 2060), an_attempt(2, 3000, 3110))

    account = account_for([row], lambda _, attempt: told[attempt.restart])

    assert [each.lost_steps for each in account.attempts] == [50, 50, 0]
    assert account.lost_steps == 100
    assert account.spent.steps == pytest.approx(50 + 100)
    assert account.spent.lost == pytest.approx(100)


def test_attempt_without_events_between_two_others_changes_nothing_about_them():
    told = {0: steps(1000, 0, 100), 1: [], 2: steps(3000, 80, 150)}
    row = a_stage(an_attempt(0, 1000, 1110), an_attempt(1, 2000, 2010), an_attempt(2, 3000, 3080))

    account = account_for([row], lambda _, attempt: told[attempt.restart])

    assert [each.lost_steps for each in account.attempts] == [20, 0, 0]
    assert account.spent.start == 10 + 10 + 10


def test_last_attempt_of_a_stage_that_is_not_done_lost_what_the_ledger_says():
    row = a_stage(
        an_attempt(0, 1000, 1110, last_step=100, steps_lost=40), state=StageState.INTERRUPTED
    )

    account = account_for([row], lambda *_: steps(1000, 0, 100))

    assert (account.is_done, account.lost_steps) == (False, 40)
    assert account.spent.lost == pytest.approx(40)


def test_gpu_time_counts_the_nodes_that_each_attempt_got():
    row = a_stage(an_attempt(0, 1000, 1110, num_nodes=2), an_attempt(1, 2000, 2110), min_nodes=2)

    account = account_for([row], lambda _, a: steps(1000 + 1000 * a.restart, 0, 100))

    assert account.gpu_spent.allocated == 110 * 16 + 110 * 32
    assert account.stages[0].queued_s == 60
    assert account.wall_s == 2110 - 900


def test_attempt_that_runs_counts_until_now_and_one_that_waits_holds_nothing():
    row = a_stage(an_attempt(0, 1000, None), an_attempt(1, 0, None), state=StageState.RUNNING)

    account = account_for([row], lambda *_: steps(1000, 0, 20), now=1100.0)

    assert [each.spent.allocated for each in account.attempts] == [100]
    assert account.wall_s == 200
