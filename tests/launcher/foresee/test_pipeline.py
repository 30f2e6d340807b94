"""Whole runs: the distribution, intervals, presets."""

import math
from dataclasses import replace

import pytest

from launcher.foresee import (
    PRESETS,
    PlacedStage,
    Rates,
    StageModel,
    compare_intervals,
    foresee,
)
from launcher.foresee.closed_form import expected_s
from launcher.foresee.pipeline import quantile
from launcher.foresee.rates import format_rate, parse_rate

HOUR_S, DAY_S = 3600.0, 86_400.0
TRAINING = StageModel(
    work_s=48 * HOUR_S, save_s=60, interval_s=1800, start_s=180, wait_s=120, slice_s=12 * HOUR_S
)


def test_calm_pipeline_is_done_when_its_longest_chain_is():
    short, long = StageModel(work_s=10, start_s=1), StageModel(work_s=100)
    stages = [
        PlacedStage(name="first", model=short, gpus=8),
        PlacedStage(name="left", parents=("first",), model=long, gpus=4),
        PlacedStage(name="right", parents=("first",), model=short, gpus=4),
        PlacedStage(name="last", parents=("left", "right", "reused"), model=short, gpus=8),
    ]

    found = foresee(stages, runs=3, seed=0)

    assert (found.p10_s, found.p50_s, found.p90_s) == (122, 122, 122)
    assert found.gpu_hours == pytest.approx((8 * 11 + 4 * 100 + 4 * 11 + 8 * 11) / HOUR_S)
    assert found.goodput == pytest.approx(600 / 620)  # seconds count by their GPUs


def test_distribution_depends_on_the_seed_alone():
    stage = PlacedStage(name="a", model=TRAINING, rates=Rates(1 / DAY_S, 4 / DAY_S))

    again, other = foresee([stage], runs=200, seed=7), foresee([stage], runs=200, seed=8)

    assert foresee([stage], runs=200, seed=7) == again
    assert again.p50_s != other.p50_s
    assert again.p10_s < again.p50_s < again.p90_s


def test_more_preemptions_and_more_failures_take_longer():
    def p50_s(hard: float, told: float) -> float:
        rates = Rates(hard / DAY_S, told / DAY_S)
        return foresee([PlacedStage(name="a", model=TRAINING, rates=rates)], runs=300, seed=1).p50_s

    assert p50_s(0, 0) < p50_s(0, 4) < p50_s(0, 20)
    assert p50_s(0, 4) < p50_s(4, 4) < p50_s(20, 4)


def test_stage_without_an_end_leaves_the_run_without_one_and_says_so():
    hopeless = replace(TRAINING, slice_s=100.0)  # shorter than its start-up
    stages = [
        PlacedStage(name="a", model=hopeless, gpus=8),
        PlacedStage(name="b", parents=("a",), model=TRAINING, gpus=8),
    ]

    found = foresee(stages, runs=5, seed=1)

    assert (found.undone, found.p10_s) == (5, math.inf)
    assert found.goodput == 0


def test_best_interval_by_trying_is_near_dalys_and_beats_its_quarter_and_its_eightfold():
    found = compare_intervals(TRAINING, Rates(hard_per_s=1 / (4 * HOUR_S)), runs=400, seed=3)

    assert (found.young_s, found.mtbf_s) == (pytest.approx(1314.5, abs=0.1), 4 * HOUR_S)
    assert found.daly_s / 2 < found.best.interval_s < 2 * found.daly_s
    assert found.as_good_s[0] <= found.daly_s <= found.as_good_s[1]
    assert found.best.goodput > max(found.tried[0].goodput, found.tried[-1].goodput) + 0.01


def test_tried_interval_keeps_what_the_closed_form_says():
    stage = replace(TRAINING, slice_s=None, wait_s=0.0)
    hard = 1 / (4 * HOUR_S)

    for tried in compare_intervals(stage, Rates(hard), runs=400, seed=3).tried:
        wall_s = expected_s(replace(stage, interval_s=tried.interval_s), hard)
        assert tried.goodput == pytest.approx(stage.work_s / wall_s, abs=0.01)


def test_without_losses_there_is_no_best_interval():
    found = compare_intervals(TRAINING, Rates(announced_per_s=4 / DAY_S), runs=10, seed=1)

    assert (found.mtbf_s, found.best) == (math.inf, None)


@pytest.mark.parametrize(
    ("name", "per_1000_node_days", "hours_between_on_16384_gpus"),
    [
        ("llama3", 3.79, 3.1),  # "one failure every three hours"
        ("rsc1", 6.50, 1.8),  # the paper projects 1.8 h
        ("rsc2", 2.34, 5.0),
        ("opt175b", 16.1, 0.73),
        ("bloom", 4.29, 2.73),
    ],
)
def test_preset_is_the_published_rate(name, per_1000_node_days, hours_between_on_16384_gpus):
    rate = PRESETS[name].per_node_day

    assert 1000 * rate == pytest.approx(per_1000_node_days, rel=0.002)
    assert 24 / (rate * 16_384 / 8) == pytest.approx(hours_between_on_16384_gpus, rel=0.01)


@pytest.mark.parametrize(
    ("text", "a_day"), [("4/day", 4), ("0.5/h", 12), ("14 / week", 2), ("1/d", 1), ("0/day", 0)]
)
def test_rate_is_read_in_its_unit(text, a_day):
    assert parse_rate(text) * DAY_S == pytest.approx(a_day)


@pytest.mark.parametrize("text", ["4", "4/month", "-1/day", "a/day", "4day", ""])
def test_what_is_no_rate_is_refused_with_one_that_is(text):
    with pytest.raises(ValueError, match="is not a rate; write 4/day"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("text", "told"), [("4/day", "4/day"), ("36/day", "1.5/h"), ("0.5/day", "3.5/week")]
)
def test_rate_is_told_in_the_unit_that_fits(text, told):
    assert format_rate(parse_rate(text)) == told


def test_quantile_is_the_smallest_value_that_holds_its_share():
    values = [float(n) for n in range(1, 11)]

    assert [quantile(values, q) for q in (0.1, 0.5, 0.9)] == [1, 5, 9]
    assert quantile([3.0], 0.1) == quantile([3.0], 0.9) == 3.0
