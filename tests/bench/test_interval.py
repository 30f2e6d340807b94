"""The simulation of saving under failures."""

from itertools import repeat

import pytest

from bench.interval import ALLOWED_BELOW, Auto, Case, Fixed, goodput, measure

CASE = Case(held_s=10, mtbf_s=3600, restart_s=100, step_s=10)


def test_machine_that_never_fails_loses_only_what_saves_hold_up():
    kept = goodput(CASE, Fixed(CASE, 90), repeat(float("inf")), hours=1)

    assert kept == 0.9  # 36 rounds of nine steps and a save


@pytest.mark.parametrize(
    ("fails_at", "steps"),
    [
        (999.0, 81),  # the tenth save began at 990 s: nine are on the disk
        (1029.0, 81),  # durable only 40 s after it began
        (1031.0, 90),
    ],
)
def test_failure_costs_all_since_the_last_save_that_reached_the_disk(fails_at, steps):
    end_h = fails_at / 3600 + 1e-9

    kept = goodput(CASE, Fixed(CASE, 90), iter([fails_at, float("inf")]), end_h)

    assert kept * end_h * 3600 / CASE.step_s == pytest.approx(steps)


def test_auto_comes_close_to_the_best_fixed_interval_without_being_told():
    fixed, auto = measure(CASE, seeds=2, hours=50)

    assert auto >= max(fixed.values()) - ALLOWED_BELOW
    assert auto > fixed[0.25]
    assert auto > fixed[4.0]


def test_auto_saves_more_often_after_failures():
    calm, stormy = Auto(CASE), Auto(CASE)
    for _ in range(50):
        stormy.failed(1800.0)

    first = []
    for policy in (calm, stormy):
        policy.begin(0, 0.0)
        policy.steps(0, 0.0, 9)
        policy.saved(9, 100.0)
        first.append(policy.steps(9, 100.0, 1000))

    assert first[0] > 3 * first[1]
