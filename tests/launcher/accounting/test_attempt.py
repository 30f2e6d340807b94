"""Where the seconds of an attempt went."""

from typing import Any

import pytest

from bench.goodput import need_not_have_lost
from db.schema import Attempt
from jobs.contract.events import Event
from launcher.accounting.attempt import take_apart
from launcher.accounting.parts import Part
from launcher.goodput import work_of

BEGAN = 1000.0


def attempt(
    seconds: float | None, cause: str | None = "requeue", exit_kind: str | None = "stopped", **more
) -> Attempt:
    """One that held its nodes for so long; told to stop, it put itself back into the queue."""
    ends: dict[str, Any] = {
        "started_at": BEGAN,
        "ended_at": None if seconds is None else BEGAN + seconds,
    }
    ends |= {"cause": cause, "exit_kind": exit_kind} | more
    known = {"submission_id": 1, "stage_run_id": 1, "cluster": "c", "slurm_id": "7", "restart": 0}
    return Attempt(state="PREEMPTED", **known, **ends)


def told(after_s: float, kind: str, **fields: object) -> Event:
    return Event(BEGAN + after_s, kind, fields)


EVENTS = [
    told(2, "begin"),
    told(10, "started", resume_step=20),
    told(13, "step", step=21, step_s=3.0, data_s=1.0),
    told(24, "checkpoint", step=25, held_s=0.5, save_s=2.0),
    told(34, "step", step=31, step_s=2.0, data_s=0.1),
    told(37, "checkpoint", step=31, held_s=0.4, save_s=2.5),
]


def parts(found) -> dict[str, float]:
    """The waterfall without its zeros."""
    return {
        str(part): pytest.approx(amount)
        for part, amount in found.spent.waterfall.items()
        if amount > 1e-9
    }


def test_attempt_is_taken_apart_without_a_second_left_over():
    found = take_apart("s", attempt(40), EVENTS, 31)

    spent = found.spent
    assert (spent.start, spent.data, spent.steps) == (10, pytest.approx(2.0), pytest.approx(21.0))
    assert (spent.saves, spent.end, spent.lost) == (0.5 + 2.5, 3.5, 0)
    assert spent.other == pytest.approx(0.5)
    assert sum(spent.waterfall.values()) == pytest.approx(40)
    assert spent.idle == pytest.approx(2.0 + 3.5 + 0.5)
    assert spent.goodput == pytest.approx(21 / 40)
    assert not need_not_have_lost(found)


@pytest.mark.parametrize(("cause", "exit_kind"), [("requeue", "stopped"), ("preemption", None)])
def test_steps_that_the_next_attempt_makes_again_are_lost(cause, exit_kind):
    found = take_apart("s", attempt(40, cause, exit_kind), EVENTS[:-1], 20)

    assert (found.lost_steps, found.spent.steps, found.spent.data) == (11, 0, 0)
    assert found.spent.lost == pytest.approx(23)
    assert need_not_have_lost(found)


def test_steps_lost_with_the_node_could_not_be_kept():
    found = take_apart("s", attempt(40, "node failure", None), EVENTS[:-1], 20)

    assert found.lost_steps == 11
    assert not need_not_have_lost(found)


def test_only_the_steps_after_the_checkpoint_are_lost_and_each_as_long_as_it_took():
    found = take_apart("s", attempt(40, "node failure", None), EVENTS[:-1], 25)

    assert found.lost_steps == 6
    assert found.spent.lost == pytest.approx(6 * 2.0)
    assert found.spent.steps == pytest.approx(2.0 + 4 * 1.9)


def test_attempt_that_made_no_step_was_all_start():
    found = take_apart("s", attempt(9), EVENTS[:1], None)

    assert (found.spent.start, found.spent.allocated, found.spent.other) == (9, 9, 0)


def test_attempt_killed_in_its_first_step_lost_it():
    found = take_apart("s", attempt(40, "preemption", None), EVENTS[:2], 20)

    assert parts(found) == {"start-up": 10, "lost": 30}
    assert found.lost_steps == 0


def test_attempt_without_an_event_file_that_came_to_no_step_was_all_start():
    assert parts(take_apart("s", attempt(9, "launch failure", None), [], None)) == {"start-up": 9}


def test_attempt_whose_event_file_is_gone_is_told_of_by_the_ledger():
    known = {"first_step": 0, "last_step": 12, "steps_gained": 10, "steps_lost": 2, "step_s": 3.0}

    found = take_apart("s", attempt(50, **known), [], None)

    assert parts(found) == {"productive": 30, "lost": 6, "idle": 14}
    assert (found.lost_steps, found.spent.other) == (2, 14)


@pytest.mark.parametrize("seconds", [60.0, None], ids=["ended", "runs"])
def test_attempt_whose_event_file_is_gone_has_the_goodput_of_status(seconds):
    known = {"first_step": 20, "last_step": 32, "step_s": 9.0, "work_s": 36.0, "wall_clock_s": 60.0}
    if seconds:
        known |= {"steps_gained": 10, "steps_lost": 2}
    gone = attempt(seconds, **known)

    found = take_apart("s", gone, [], None, now=BEGAN + 60)

    assert found.spent.steps == (30 if seconds else 36)
    assert found.spent.goodput == work_of([gone]).goodput
    assert found.spent.lost == work_of([gone]).lost_s


def test_attempt_that_runs_counts_until_now_and_what_it_has_not_told_yet_is_no_end():
    found = take_apart("s", attempt(None, None, None), EVENTS[:5], None, now=BEGAN + 44)

    assert found.spent.allocated == 44
    assert (found.spent.end, found.spent.other) == (0, pytest.approx(10 + 0.5))


def test_evaluation_is_taken_apart_by_the_time_of_day():
    events = [
        told(10, "started", resume_step=0, total_steps=100),
        told(20, "step", step=40, epoch=0),
        told(31, "checkpoint", step=100, save_s=0.1, final=True),
        told(32, "exit", outcome="done", step=100),
    ]

    found = take_apart("s", attempt(33, None, "done"), events, None)

    assert parts(found) == {"start-up": 10, "productive": 21, "idle": 2}


@pytest.mark.parametrize(
    ("seconds", "exit_kind", "events", "expected"),
    [
        (33, "done", [told(32, "exit", outcome="done", step=0)], {"productive": 22, "idle": 1}),
        (33, None, [], {"lost": 23}),
        (None, None, [], {"productive": 30}),
    ],
    ids=["done", "killed", "runs"],
)
def test_program_that_tells_nothing_works_until_its_end_and_in_vain_where_that_is_bad(
    seconds, exit_kind, events, expected
):
    begun = [told(10, "started", resume_step=0, total_steps=None), *events]

    found = take_apart("s", attempt(seconds, None, exit_kind), begun, None, now=BEGAN + 40)

    assert parts(found) == {"start-up": 10} | expected


def test_program_that_tells_of_its_saves_only_loses_what_came_after_the_last():
    events = [
        told(10, "started", resume_step=0, total_steps=None),
        told(60, "checkpoint", step=500, save_s=3.0, final=False),
    ]

    found = take_apart("s", attempt(100, "node failure", None), events, 500)

    assert parts(found) == {"start-up": 10, "productive": 50, "lost": 40}


def test_means_that_come_to_more_than_the_time_there_was_are_made_to_fit():
    events = [
        told(10, "started", resume_step=0),
        told(20, "step", step=10, step_s=4.0, data_s=1.0),
    ]

    found = take_apart("s", attempt(20, None, None), events, None)

    assert (found.spent.steps, found.spent.data) == (pytest.approx(7.5), pytest.approx(2.5))
    assert set(found.spent.waterfall) == set(Part)
