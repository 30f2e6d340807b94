"""Seconds of steps, from what an attempt tells."""

import pytest

from jobs.contract.work import Work


def worked(*events):
    work = Work()
    for at, kind, fields in events:
        work.hear(at, kind, fields)
    return work.seconds


def started(step=0):
    return (100.0, "started", {"resume_step": step})


def test_training_says_how_long_its_steps_took_and_how_long_they_waited():
    told = worked(
        started(10),
        (130.0, "step", {"step": 20, "step_s": 2.0, "data_s": 0.5}),
        (150.0, "step", {"step": 24, "step_s": 3.0, "data_s": 0.0}),
    )

    assert told == 10 * 1.5 + 4 * 3.0


def test_steps_that_only_the_end_tells_of_took_as_long_as_those_before_them():
    told = worked(
        started(),
        (120.0, "step", {"step": 10, "step_s": 2.0, "data_s": 0.0}),
        (125.0, "checkpoint", {"step": 12}),
        (126.0, "exit", {"step": 12}),
    )

    assert told == 24.0


def test_of_a_program_that_tells_where_it_is_the_time_of_day_says_the_rest():
    assert worked(started(5), (110.0, "step", {"step": 6}), (140.0, "step", {"step": 9})) == 40.0


@pytest.mark.parametrize(
    "events",
    [
        [],
        [started(3)],
        [(110.0, "step", {"step": 6})],
        [started(3), (110.0, "step", {"step": 3})],
        [started(3), (110.0, "step", {"step": "4"})],
    ],
)
def test_attempt_that_came_to_no_step_says_nothing(events):
    assert worked(*events) is None


@pytest.mark.parametrize("damaged", [float("nan"), -1.0, True, "2", None])
def test_damaged_number_of_seconds_leaves_it_to_the_time_of_day(damaged):
    assert worked(started(), (130.0, "step", {"step": 4, "step_s": damaged})) == 30.0
