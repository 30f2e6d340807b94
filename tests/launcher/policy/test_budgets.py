"""What does not move must not burn the cluster; what moves is never given up."""

from dataclasses import replace

import pytest

from launcher.cluster.states import Ending
from launcher.reconcile.policy import Action, Budgets, decide
from tests.launcher.policy.situations import NOW, after, again, ended, failed, gone, pasts

PREEMPTED = ended(Ending.PREEMPTED)
MOVED = replace(PREEMPTED, progress=50)
FAILED = failed()
OTHER = failed("OSError", step=77)
ALL_SORTS = (PREEMPTED, ended(Ending.NODE_FAILURE), ended(Ending.FAILED, outcome="stopped"))


def test_week_of_preemptions_does_not_stop_what_moves() -> None:
    decision = decide(again(MOVED, 300))

    assert (decision.rule, decision.not_before) == ("preempted", None)


@pytest.mark.parametrize(("times", "action"), [(2, Action.RESUBMIT), (3, Action.HOLD)])
def test_attempts_in_vain_are_counted_in_a_row(times: int, action: Action) -> None:
    assert decide(again(PREEMPTED, times)).action is action


def test_attempts_in_vain_are_counted_whatever_ended_them() -> None:
    decision = decide(after(ALL_SORTS[2], *ALL_SORTS[:2]))

    assert decision.rule == "no-progress"
    assert "preemption, node failure" in decision.sentence


def test_interruptions_do_not_end_a_program_that_saves_no_checkpoints() -> None:
    decision = decide(again(PREEMPTED, 300, saves=False, checkpoints=0))

    assert (decision.rule, decision.action) == ("preempted", Action.RESUBMIT)


@pytest.mark.parametrize(("gained", "action"), [(0, Action.HOLD), (1, Action.RESUBMIT)])
def test_program_that_saves_no_checkpoints_is_held_for_failures_of_its_own(gained, action) -> None:
    patient = Budgets(no_progress=3, failures=9)
    history = (failed("A", step=1), PREEMPTED, failed("B", step=2, progress=gained), PREEMPTED)

    decision = decide(after(failed("C", step=3), *history, saves=False, budgets=patient))

    assert decision.action is action


def test_progress_resets_the_count_of_attempts_in_vain() -> None:
    assert decide(after(PREEMPTED, PREEMPTED, PREEMPTED, MOVED)).rule == "preempted"


def test_attempts_that_never_had_nodes_are_not_in_vain() -> None:
    waited = replace(ended(Ending.PREEMPTED), started=False)
    past = tuple(replace(each, started_at=None) for each in pasts([waited] * 9))

    assert decide(gone(waited, past=past)).rule == "preempted"


@pytest.mark.parametrize(
    ("moved", "rule", "after_s"),
    [(FAILED, "failed-for-good", None), (replace(FAILED, progress=50), "failed", 60)],
)
def test_progress_resets_the_count_of_failures(moved, rule, after_s) -> None:
    patient = Budgets(no_progress=9)
    errors = [failed(name, step=step) for step, name in enumerate(("A", "B"))]

    decision = decide(after(moved, *errors, budgets=patient))

    assert decision.rule == rule
    assert decision.not_before == (after_s and NOW + after_s)


def test_preemptions_between_do_not_forgive_failures() -> None:
    patient = Budgets(no_progress=9)
    history = (failed("A"), PREEMPTED, failed("B"), PREEMPTED)

    assert decide(after(FAILED, *history, budgets=patient)).rule == "failed-for-good"


def test_third_failure_waits_twenty_minutes_where_the_budget_allows_it() -> None:
    patient = Budgets(no_progress=9, failures=3)

    decision = decide(after(FAILED, failed("A"), failed("B"), budgets=patient))

    assert decision.not_before == NOW + 1200


def test_no_failure_is_tried_again_with_a_budget_of_none() -> None:
    assert decide(gone(FAILED, budgets=Budgets(failures=0))).rule == "failed-for-good"


@pytest.mark.parametrize(("times", "storm"), [(4, False), (5, True)])
def test_five_attempts_in_half_an_hour_are_a_storm(times, storm) -> None:
    ends = [MOVED] * times

    decision = decide(gone(MOVED, past=pasts(ends, apart_s=300)))

    assert decision.storm is storm
    assert decision.action is Action.RESUBMIT
    assert decision.not_before == (NOW - 5 * 300 + 1800 if storm else None)


def test_storm_is_over_when_its_attempts_are_half_an_hour_old() -> None:
    decision = decide(gone(MOVED, past=pasts([MOVED] * 5, apart_s=450)))

    assert decision.storm is False


def test_later_of_back_off_and_storm_counts() -> None:
    ends = [replace(failed(f"{number}"), progress=50, step=number) for number in range(5)]

    decision = decide(gone(ends[-1], past=pasts(ends, apart_s=100)))

    assert decision.not_before == NOW - 500 + 1800


def test_limits_of_the_run_come_before_everything_else() -> None:
    late = gone(MOVED, deadline_at=NOW - 1, intent="hold")

    assert decide(late).rule == "deadline"


def test_failure_on_this_machine_is_not_tried_again() -> None:
    assert decide(gone(OTHER, is_local=True)).rule == "failed-for-good"
