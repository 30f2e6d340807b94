"""The parts of the waterfall: they come to the whole, whatever the events say."""

import math

from hypothesis import given
from hypothesis import strategies as st

from db.schema import Attempt
from jobs.contract.events import Event
from launcher.accounting.attempt import take_apart
from launcher.accounting.parts import Part, Spent, fractions, percentages, total_of

ANYTHING = st.one_of(
    st.none(), st.booleans(), st.text(max_size=3), st.integers(), st.floats(), st.integers(-5, 200)
)
NAMES = ("step", "resume_step", "step_s", "data_s", "save_s", "held_s", "outcome", "total_steps")
KINDS = ("begin", "started", "first_step", "step", "checkpoint", "skipped", "signal", "exit")
EVENTS = st.lists(
    st.builds(
        Event,
        st.one_of(st.floats(), st.floats(900, 2200)),
        st.sampled_from(KINDS),
        st.dictionaries(st.sampled_from(NAMES), ANYTHING),
    ),
    max_size=12,
)
LIKELY = st.lists(
    st.builds(
        lambda at, kind, step, seconds: Event(
            at,
            kind,
            {"step": step, "resume_step": step, "step_s": seconds, "data_s": seconds / 3,
             "save_s": seconds, "held_s": seconds / 2, "outcome": "stopped"},
        ),
        st.floats(900, 2200),
        st.sampled_from(KINDS),
        st.integers(0, 50),
        st.floats(-20, 300),
    ),
    max_size=12,
).map(lambda events: [Event(1010.0, "started", {"resume_step": 0}), *events])  # fmt: skip
SECONDS = st.one_of(st.none(), st.floats(-10, 1200))
STEPS = st.one_of(st.none(), st.integers(-3, 60))


def attempt(ended_at: float | None, steps: int | None) -> Attempt:
    return Attempt(
        submission_id=1,
        stage_run_id=1,
        cluster="c",
        slurm_id="7",
        restart=0,
        state="?",
        started_at=1000.0,
        ended_at=ended_at,
        last_step=steps,
        steps_gained=steps,
        steps_lost=steps,
        step_s=2.0,
    )


@given(events=st.one_of(EVENTS, LIKELY), seconds=SECONDS, again=STEPS, known=STEPS)
def test_parts_of_an_attempt_come_to_what_it_held_whatever_the_events_say(
    events, seconds, again, known
):
    ended_at = None if seconds is None else 1000.0 + seconds

    found = take_apart("s", attempt(ended_at, known), events, again, now=1500.0)

    spent = found.spent
    assert all(0 <= amount <= spent.allocated + 1e-9 for amount in spent.waterfall.values())
    assert all(0 <= amount <= spent.allocated + 1e-9 for amount in spent.idle_parts.values())
    assert math.isclose(sum(spent.waterfall.values()), spent.allocated, abs_tol=1e-9)
    assert math.isclose(sum(spent.idle_parts.values()), spent.idle, abs_tol=1e-9)
    if spent.allocated > 1e-9:
        assert math.isclose(sum(fractions(spent.waterfall).values()), 1, rel_tol=1e-12)
    assert found.lost_steps >= 0


@given(st.dictionaries(st.sampled_from(Part), st.floats(0, 1e9), min_size=1))
def test_shown_percentages_come_to_100_and_none_is_off_by_more_than_the_last_digit(amounts):
    shown = percentages(amounts)

    is_nothing = math.fsum(amounts.values()) == 0
    assert round(sum(shown.values()), 6) == (0 if is_nothing else 100)
    exact = fractions(amounts)
    assert all(abs(shown[part] - 100 * exact[part]) < 0.1 + 1e-6 for part in amounts)


def test_nothing_that_was_allocated_has_no_parts():
    assert set(percentages(Spent().waterfall).values()) == {0}
    assert Spent().goodput == 0


def test_sum_has_every_part():
    one = Spent(allocated=10, steps=4, data=1, lost=1, start=2, saves=1, end=0.5)

    assert total_of([one, one * 2]) == one * 3
    assert one + one == one * 2
