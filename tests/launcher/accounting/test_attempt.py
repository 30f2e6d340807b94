"""Where the seconds of an attempt went."""

from typing import Any

import pytest

from bench.accounting import take_apart
from bench.goodput import need_not_have_lost
from db.schema import Attempt
from jobs.contract.events import Event

BEGAN = 1000.0


def attempt(seconds: float, cause: str = "requeue", exit_kind: str | None = "stopped") -> Attempt:
    """One that held its nodes for so long; told to stop, it put itself back into the queue."""
    ends: dict[str, Any] = {"started_at": BEGAN, "ended_at": BEGAN + seconds}
    ends |= {"cause": cause, "exit_kind": exit_kind}
    known = {"submission_id": 1, "stage_run_id": 1, "cluster": "c", "slurm_id": "7", "restart": 0}
    return Attempt(state="PREEMPTED", **known, **ends)


def told(after_s: float, kind: str, **fields: object) -> Event:
    return Event(BEGAN + after_s, kind, fields)


EVENTS = [
    told(2, "begin"),
    told(10, "started", resume_step=20),
    told(13, "step", step=21, step_s=3.0, data_s=1.0),
    told(24, "checkpoint", step=25, held_s=0.5, save_s=2.0),
    told(33, "step", step=31, step_s=2.0, data_s=0.1),
    told(36, "checkpoint", step=31, held_s=0.4, save_s=2.5),
]


def test_attempt_is_taken_apart_without_a_second_left_over():
    found = take_apart("s", attempt(40), EVENTS, 31)

    spent = found.spent
    assert (spent.start, spent.data, spent.steps) == (10, pytest.approx(2.0), pytest.approx(21.0))
    assert (spent.saves, spent.end, spent.lost) == (0.5, 7, 0)
    assert spent.other == pytest.approx(40 - 10 - 23 - 0.5 - 7)
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


def test_attempt_that_made_no_step_was_all_start():
    found = take_apart("s", attempt(9), EVENTS[:1], None)

    assert (found.spent.start, found.spent.allocated, found.spent.other) == (9, 9, 0)
