"""One simulated stage: exact where nothing is random, and the formula's mean where all is."""

import math
from dataclasses import astuple, replace
from statistics import mean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.foresee.closed_form import expected_s
from launcher.foresee.model import Rates, Spent, StageModel
from launcher.foresee.pipeline import luck
from launcher.foresee.stage import Ran, at_moments, at_random, run_stage

HOUR_S = 3600.0
TEN_SAVES = StageModel(work_s=1000, save_s=10, interval_s=100, start_s=50, wait_s=20)
SIGMAS = 4
"""Standard errors between a mean and its formula; the seed is fixed, so that it holds or not."""


def run(stage: StageModel, *moments: tuple[float, bool]) -> Ran:
    return run_stage(stage, 0.0, at_moments(moments))


def ends(stage: StageModel, rates: Rates, runs: int) -> list[float]:
    following = (at_random(rates, luck(1, number, "stage")) for number in range(runs))
    return [run_stage(stage, 0.0, each).end_s for each in following]


def test_stage_that_nothing_interrupts_takes_exactly_its_parts():
    ran = run(replace(TEN_SAVES, first_wait_s=5))

    assert ran == Ran(1155.0, Spent(productive_s=1000, saves_s=100, start_s=50, queue_s=5))
    assert ran.end_s == replace(TEN_SAVES, first_wait_s=5).undisturbed_s


@pytest.mark.parametrize(
    ("at_s", "lost_s", "end_s"),
    [
        (30, 0, 1150 + 30 + 20),  # before its first step: the start-up again, and the queue
        (50 + 99, 99, 1150 + 149 + 20),  # nothing was saved so far
        (50 + 105, 100, 1150 + 155 + 20),  # in the middle of the first save
        (50 + 110 + 30, 30, 1150 + 30 + 50 + 20),  # the first save is safe
        (50 + 1099, 100, 1150 + 109 + 50 + 20),  # in the last save
    ],
)
def test_interruption_without_notice_costs_all_since_the_last_whole_save(at_s, lost_s, end_s):
    ran = run(TEN_SAVES, (at_s, False))

    assert (ran.end_s, ran.spent.lost_s, ran.spent.interruptions) == (end_s, lost_s, 1)


@pytest.mark.parametrize(
    ("at_s", "end_s"),
    [
        (30, 1150 + 30 + 20),  # there was nothing to save
        (50 + 99, 1150 + 10 + 50 + 20),  # a save on notice, then the next interval begins anew
        (50 + 105, 1150 + 50 + 20),  # the save under way goes on
    ],
)
def test_interruption_with_notice_costs_a_save_and_the_restart(at_s, end_s):
    ran = run(TEN_SAVES, (at_s, True))

    # What was saved early moves the later saves, of which one falls away at the end or not.
    assert ran.end_s == pytest.approx(end_s, abs=TEN_SAVES.save_s)
    assert (ran.spent.lost_s, ran.spent.productive_s) == (0, 1000)


def test_stage_told_to_stop_in_its_last_save_is_done_with_it():
    ran = run(TEN_SAVES, (50 + 1095, True))

    assert (ran.end_s, ran.spent.interruptions) == (1150, 0)


def test_interruption_while_a_stage_waits_hits_nobody():
    ran = run(replace(TEN_SAVES, first_wait_s=100), (60, False))

    assert (ran.end_s, ran.spent.interruptions) == (1250, 0)


def test_time_limit_makes_slices_that_lose_nothing():
    ran = run(StageModel(work_s=1000, save_s=10, start_s=50, wait_s=20, slice_s=350))

    assert ran.end_s == 3 * (350 + 10 + 20) + 50 + 100 + 10
    assert ran.spent.interruptions == 3


def test_stage_that_cannot_resume_begins_anew_even_with_notice():
    ran = run(replace(TEN_SAVES, interval_s=math.inf, resumes=False), (500, True))

    assert (ran.end_s, ran.spent.lost_s, ran.spent.saves_s) == (500 + 20 + 50 + 1000 + 10, 450, 10)


def test_stage_whose_slice_is_over_before_its_first_step_comes_to_no_end():
    ran = run(replace(TEN_SAVES, slice_s=40))

    assert math.isinf(ran.end_s)
    assert ran.spent.productive_s == 0


@pytest.mark.parametrize(
    ("stage", "mtbf_s"),
    [
        (StageModel(work_s=8 * HOUR_S, save_s=30, interval_s=900), HOUR_S),
        (StageModel(work_s=8 * HOUR_S, save_s=30, interval_s=900, start_s=300), HOUR_S),
        (
            StageModel(work_s=8 * HOUR_S, save_s=60, interval_s=1000, start_s=300, wait_s=600),
            2 * HOUR_S,
        ),
        (StageModel(work_s=HOUR_S, start_s=60, wait_s=60), 2 * HOUR_S),  # only the end is saved
    ],
)
def test_mean_under_exponential_failures_is_that_of_the_closed_form(stage, mtbf_s):
    found = ends(stage, Rates(hard_per_s=1 / mtbf_s), 4000)

    error_s = stdev(found) / math.sqrt(len(found))
    assert abs(mean(found) - expected_s(stage, 1 / mtbf_s)) < SIGMAS * error_s
    assert error_s < 0.01 * mean(found)  # so that the line above can fail


def test_simplest_closed_form_is_the_textbooks():
    # Without saves, restart and queue: (exp(q w) - 1) / q.
    assert expected_s(StageModel(work_s=2.0), 0.5) == pytest.approx((math.e - 1) / 0.5)


def test_mean_with_notice_alone_is_the_work_and_what_each_restart_costs():
    # Save on notice costs 10 s and the restart 50 + 20; attempts end at rate q of the time held.
    stage = StageModel(work_s=10 * HOUR_S, save_s=10, start_s=0, wait_s=20)

    found = ends(stage, Rates(announced_per_s=1 / HOUR_S), 4000)

    # Each second of work meets an interruption at rate q: 10 in all, of 30 s each; one save more.
    error_s = stdev(found) / math.sqrt(len(found))
    assert abs(mean(found) - (10 * HOUR_S + 10 * 30 + 10)) < SIGMAS * error_s


durations = st.floats(1.0, 5000.0)
costs = st.floats(0.0, 300.0)
stages = st.builds(
    StageModel,
    work_s=durations,
    save_s=costs,
    interval_s=st.floats(10.0, 3000.0),
    start_s=costs,
    first_wait_s=costs,
    wait_s=costs,
    slice_s=st.none() | st.floats(400.0, 5000.0),
    resumes=st.booleans(),
)
rates = st.builds(Rates, st.floats(0.0, 1e-3), st.floats(0.0, 1e-3))
seeds = st.integers(0, 10**6)


@given(stages, rates, seeds)
def test_parts_come_to_the_time_that_a_stage_takes(stage, rates, seed):
    ran = run_stage(stage, 7.0, at_random(rates, luck(seed, 0, "stage")))

    if math.isfinite(ran.end_s):
        assert ran.spent.wall_s == pytest.approx(ran.end_s - 7.0)
        assert ran.spent.productive_s == pytest.approx(stage.work_s)
    assert min(astuple(ran.spent)) >= 0


@given(stages, rates, seeds, durations)
def test_more_work_under_the_same_luck_is_never_done_sooner(stage, rates, seed, more_s):
    longer = replace(stage, work_s=stage.work_s + more_s)

    assert _end(longer, rates, seed) >= _end(stage, rates, seed) - 1e-6


@given(stages, st.floats(0.0, 1e-3), seeds, st.sampled_from(["save_s", "start_s", "wait_s"]), costs)
def test_dearer_save_start_or_queue_under_the_same_failures_is_never_done_sooner(
    stage, hard, seed, what, more_s
):
    # A notice is left out: a stop before the first step costs no save, so a slow start can win.
    stage = replace(stage, slice_s=None)
    dearer = replace(stage, **{what: getattr(stage, what) + more_s})

    assert _end(dearer, Rates(hard), seed) >= _end(stage, Rates(hard), seed) - 1e-6


@given(stages, rates, seeds)
def test_same_seed_gives_the_same_run(stage, rates, seed):
    assert _end(stage, rates, seed) == _end(stage, rates, seed)


def _end(stage: StageModel, rates: Rates, seed: int) -> float:
    return run_stage(stage, 0.0, at_random(rates, luck(seed, 0, "stage"))).end_s
