"""How often to save: by formula, and by trying."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from jobs.contract.interval import daly_s, young_s
from launcher.foresee.model import Rates, StageModel
from launcher.foresee.pipeline import PlacedStage, foresee

FACTORS = tuple(2 ** (half / 2) for half in range(-4, 7))
"""Multiples of Daly's interval that are tried: a quarter to eight times, by the root of two."""
SHORTEST_S = 1.0
NEAR = 0.005
"""Goodput that much below the best is as good: the simulation tells no finer."""


@dataclass(frozen=True)
class Tried:
    """An interval and what it is good for.

    Attributes:
        interval_s: Seconds of work between two saves.
        goodput: With it.
    """

    interval_s: float
    goodput: float


@dataclass(frozen=True)
class Intervals:
    """How often to save a stage.

    Attributes:
        mtbf_s: Mean seconds between two losses of work; infinite: none is to be expected, and
            saving as seldom as possible is best.
        young_s: Best by Young.
        daly_s: Best by Daly.
        best: Best of those that were simulated; None: none of them came to an end.
        as_good_s: The shortest and the longest interval that come close to it.
        tried: All of them, the shortest first.
    """

    mtbf_s: float
    young_s: float
    daly_s: float
    best: Tried | None
    as_good_s: tuple[float, float] | None
    tried: tuple[Tried, ...] = ()


def formula_s(save_s: float, hard_per_s: float) -> float:
    """Daly's interval, not below a second; infinite where no work is ever lost."""
    return max(SHORTEST_S, daly_s(save_s, 1 / hard_per_s)) if hard_per_s else math.inf


def compare_intervals(
    stage: StageModel, rates: Rates, *, runs: int, seed: int, factors: Sequence[float] = FACTORS
) -> Intervals:
    """Tries multiples of Daly's interval on a stage."""
    hard = rates.hard_per_s
    if not hard or not stage.resumes:
        return Intervals(1 / hard if hard else math.inf, math.inf, math.inf, None, None)
    by_daly_s = formula_s(stage.save_s, hard)
    # Longer than the stage is all the same: only its end is saved.
    wanted = sorted({max(SHORTEST_S, min(f * by_daly_s, stage.work_s)) for f in factors})
    tried = tuple(_try(stage, rates, interval_s, runs, seed) for interval_s in wanted)
    best = max(tried, key=lambda each: each.goodput)
    by_young_s = max(SHORTEST_S, young_s(stage.save_s, 1 / hard))
    if not best.goodput:
        return Intervals(1 / hard, by_young_s, by_daly_s, None, None, tried)
    near = [each.interval_s for each in tried if each.goodput >= best.goodput - NEAR]
    return Intervals(1 / hard, by_young_s, by_daly_s, best, (min(near), max(near)), tried)


def _try(stage: StageModel, rates: Rates, interval_s: float, runs: int, seed: int) -> Tried:
    model = replace(stage, interval_s=interval_s)
    placed = PlacedStage(name="stage", model=model, rates=rates)
    return Tried(interval_s, foresee([placed], runs=runs, seed=seed).goodput)
