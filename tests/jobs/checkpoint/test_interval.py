"""When a save is due."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.checkpoint.interval import CHOOSE_EVERY_S, Measured, SaveTimer, choose
from jobs.checkpoint.progress import Progress
from jobs.contract.checkpointing import Checkpointing
from jobs.contract.hazard import Hazard
from jobs.contract.interval import daly_s

HOUR_S = 3600.0
seconds = st.floats(1e-3, 1e5)
short = st.floats(1e-3, 600.0)


def timer(*, since=Progress(), hazard=Hazard(), durable_s=None, now_s=0.0, **rules) -> SaveTimer:  # noqa: B008 - frozen values
    """A timer that begins at 0 s, at step 0 unless told otherwise."""
    wanted = Checkpointing.model_validate(rules)
    return SaveTimer(wanted, lambda: hazard, since=since, now_s=now_s, durable_s=durable_s)


def saved_steps(timer: SaveTimer, steps: int, *, step_s=1.0, held_s=0.0, per_epoch=10**9):
    """The steps at which a run saves that takes `step_s` a step; all saves are safe at once."""
    saved, now_s = [], 0.0
    for step in range(1, steps + 1):
        now_s += step_s
        timer.stepped(step_s)
        at = Progress(step=step, epoch=step // per_epoch, batch=step % per_epoch)
        if timer.is_due(at, now_s):
            now_s += held_s
            timer.began(at, now_s)
            timer.saved(held_s, held_s)
            saved.append(step)
    return saved


@pytest.mark.parametrize(
    ("held_s", "mtbf_h", "daly_min"),
    [(30, 4, 15.2), (30, 1, 7.4), (120, 1, 14.2), (1, 1, 1.4)],
)
def test_best_interval_is_the_published_one(held_s, mtbf_h, daly_min):
    assert round(daly_s(held_s, mtbf_h * HOUR_S) / 60, 1) == daly_min


@given(held_s=seconds, mtbf_s=seconds)
def test_best_interval_wastes_less_than_its_half_and_its_double(held_s, mtbf_s):
    # Where a save is short beside the time between losses; else there is nothing to choose.
    held_s = min(held_s, mtbf_s / 10)

    def waste(interval_s: float) -> float:
        """Daly's expected time for one second of work, without restarts."""
        return mtbf_s * math.expm1((interval_s + held_s) / mtbf_s) / interval_s

    best_s = daly_s(held_s, mtbf_s)

    assert 0 < waste(best_s) < min(waste(best_s / 2), waste(best_s * 2))


@given(held_s=seconds, mtbf_s=seconds, factor=st.floats(1.0, 100.0))
def test_best_interval_never_shrinks_when_losses_get_rarer(held_s, mtbf_s, factor):
    assert daly_s(held_s, factor * mtbf_s) >= daly_s(held_s, mtbf_s) * (1 - 1e-9) > 0


@given(
    held_s=st.none() | short,
    durable_s=st.none() | short,
    step_s=st.none() | short,
    mtbf_s=seconds,
    bounds=st.tuples(st.integers(1, 7200), st.integers(1, 7200)).map(sorted),
)
def test_chosen_interval_is_within_its_bounds(held_s, durable_s, step_s, mtbf_s, bounds):
    rules = Checkpointing(min_interval=f"{bounds[0]}s", max_interval=f"{bounds[1]}s")

    choice = choose(rules, Measured(held_s, durable_s, step_s), mtbf_s)

    lowest_s = max(bounds[0], durable_s or 0, step_s or 0)
    assert lowest_s <= choice.interval_s <= max(lowest_s, bounds[1])
    assert choice.every_steps is None or choice.every_steps >= 1
    assert choice.why


def test_reason_names_the_numbers_and_the_bound_that_decided():
    measured = Measured(held_s=0.5, durable_s=400.0, step_s=12.0)

    choice = choose(Checkpointing(), measured, 24 * HOUR_S)

    assert (choice.interval_s, choice.every_steps, choice.save_s) == (400.0, 33, 0.5)
    assert choice.why == (
        "a save holds training for 0.5 s and work is lost once in 24 h: best is 294 s, but not "
        "below the time until a save is on the disk, 400 s"
    )


def test_first_save_comes_after_the_shortest_interval_and_the_next_as_it_pays():
    auto = timer(min_interval="30s")

    saved = saved_steps(auto, 2000, held_s=0.5)

    assert saved[0] == 30
    # Step, then median, settle at once here: 294 s of work a save at one loss a day.
    assert set(map(int.__sub__, saved[2:], saved[1:-1])) <= {293, 294, 295}


def test_frequent_losses_bring_saves_closer_together():
    calm = saved_steps(timer(hazard=Hazard(observed_s=1e6, losses=1)), 4000, held_s=1.0)
    stormy = saved_steps(timer(hazard=Hazard(observed_s=1e6, losses=999)), 4000, held_s=1.0)

    assert len(stormy) > 5 * len(calm)


def test_save_that_did_not_begin_stays_due():
    auto = timer(min_interval="10s")

    assert not auto.is_due(Progress(step=9), 9.0)
    assert [auto.is_due(Progress(step=step), float(step)) for step in (10, 11, 12)] == [True] * 3

    auto.began(Progress(step=12), 12.0)
    assert not auto.is_due(Progress(step=13), 13.0)


def test_save_on_a_stop_wish_counts_as_the_last_one():
    auto = timer(min_interval="10s")

    auto.began(Progress(step=5), 9.0)

    assert not auto.is_due(Progress(step=6), 18.0)
    assert auto.is_due(Progress(step=7), 19.0)


def test_resumed_run_does_not_save_more_often_than_the_disk_can_take():
    resumed = timer(since=Progress(step=100), durable_s=120.0)

    assert not resumed.is_due(Progress(step=130), 119.0)
    assert resumed.is_due(Progress(step=131), 120.0)


@given(every=st.integers(1, 50), start=st.integers(0, 120))
def test_fixed_interval_saves_at_its_multiples_wherever_it_resumed(every, start):
    fixed = timer(since=Progress(step=start), every=every)

    saved = []
    for step in range(start + 1, start + 200):
        if fixed.is_due(Progress(step=step), 0.0):
            fixed.began(Progress(step=step), 0.0)
            saved.append(step)

    assert saved == [step for step in range(start + 1, start + 200) if step % every == 0]
    assert fixed.news() is None


def test_epoch_end_is_saved_where_epochs_are_kept_and_only_there():
    assert saved_steps(timer(every=10**6, keep_epochs=True), 35, per_epoch=10) == [10, 20, 30]
    assert saved_steps(timer(every=10**6), 35, per_epoch=10) == []


def test_choice_is_told_once_and_again_when_it_changes():
    auto = timer()
    assert auto.news() is None

    auto.is_due(Progress(step=1), 1.0)
    first, silent = auto.news(), auto.news()
    auto.saved(2.0, 5.0)
    auto.is_due(Progress(step=2), 2.0)
    second = auto.news()

    assert first is not None
    assert (first.save_s, first.interval_s, silent) == (None, 30.0, None)
    assert second is not None
    assert second.save_s == 2.0
    assert round(second.interval_s) == 587


def test_interval_is_chosen_anew_each_hour_at_most_once_saves_are_known():
    reads = []

    def read() -> Hazard:
        reads.append(1)
        return Hazard()

    auto = SaveTimer(Checkpointing(), read, since=Progress(), now_s=0.0)
    for step in range(1, int(2.5 * CHOOSE_EVERY_S / 10)):
        now_s = 10.0 * step
        auto.stepped(10.0)
        if auto.is_due(Progress(step=step), now_s):
            auto.began(Progress(step=step), now_s)
            auto.saved(0.5, 1.0)

    assert len(reads) == 1 + 3 + 2  # at the start, after three saves, after each hour


def test_time_without_a_loss_makes_losses_rarer():
    quiet = timer(hazard=Hazard(prior_s=HOUR_S))
    quiet.is_due(Progress(step=1), 0.0)
    quiet.saved(1.0, 1.0)
    quiet.is_due(Progress(step=2), 99 * HOUR_S)

    assert quiet.choice is not None
    assert quiet.choice.mtbf_s == 100 * HOUR_S
