"""One stage from its turn to its end, attempt by attempt.

Where an attempt stands when it is interrupted follows from the seconds alone, so that the cost of a
simulation grows with the interruptions, not with the steps, the saves or the nodes.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from random import Random

from launcher.foresee.model import Interruption, Rates, Spent, StageModel

Next = Callable[[float], Interruption]
"""Gives the first interruption of an attempt that begins then, seconds since the run's begin."""

GIVE_UP = 50
"""A stage that takes so many times as long as undisturbed is not waited for."""
IN_VAIN = 1000
"""Nor one of which so many attempts in a row kept nothing."""


@dataclass(frozen=True)
class Ran:
    """How a stage went.

    Attributes:
        end_s: When it was done, seconds since the run's begin; infinite: it came to no end.
        spent: Where its time went; of a stage without an end, until it was given up.
    """

    end_s: float
    spent: Spent


def at_random(rates: Rates, random: Random) -> Next:
    """Interruptions without a memory. Each attempt takes the same number of draws."""
    hard, announced = rates.hard_per_s, rates.announced_per_s

    def following(_: float) -> Interruption:
        hard_s = random.expovariate(1.0) / hard if hard else math.inf
        told_s = random.expovariate(1.0) / announced if announced else math.inf
        return Interruption(min(hard_s, told_s), told_s < hard_s)

    return following


def at_moments(moments: Sequence[tuple[float, bool]]) -> Next:
    """Interruptions at known moments: seconds since the run's begin, and whether announced.

    What falls into a time without nodes hits nobody.
    """
    ordered = sorted(moments, key=itemgetter(0))
    times = [at_s for at_s, _ in ordered]

    def following(began_s: float) -> Interruption:
        place = bisect_right(times, began_s)
        if place == len(times):
            return Interruption(math.inf, announced=False)
        return Interruption(times[place] - began_s, ordered[place][1])

    return following


def run_stage(stage: StageModel, turn_s: float, following: Next) -> Ran:
    """Runs a stage whose parents were done at `turn_s`."""
    productive = saves = lost = starts = queue = 0.0
    safe, count, vain, now_s, wait_s = 0.0, 0, 0, turn_s, stage.first_wait_s
    patience_s = GIVE_UP * (stage.undisturbed_s + stage.wait_s)
    while vain < IN_VAIN and now_s - turn_s <= patience_s:
        now_s += wait_s
        queue += wait_s
        stop = _cut(following(now_s), stage)
        left_s = stage.work_s - safe
        needed_s = stage.start_s + left_s + stage.saves(left_s) * stage.save_s
        if stop.after_s >= needed_s - (stage.save_s if stop.announced else 0.0):
            # Done, or told to stop in its last save, with which it is done.
            starts += stage.start_s
            productive, saves = productive + left_s, saves + stage.saves(left_s) * stage.save_s
            spent = Spent(productive, saves, lost, starts, queue, count)
            return Ran(now_s + needed_s, spent)
        count += 1
        wait_s = stage.wait_s
        at = _stand(stage, left_s, stop)
        kept = at.kept_s if stage.resumes else 0.0
        safe += kept
        vain = 0 if kept else vain + 1
        productive, lost = productive + kept, lost + at.done_s - kept
        saves, starts = saves + at.saves_s, starts + at.start_s
        now_s += at.start_s + at.done_s + at.saves_s
    # What it kept came to nothing.
    return Ran(math.inf, Spent(0.0, saves, lost + productive, starts, queue, count))


def _cut(stop: Interruption, stage: StageModel) -> Interruption:
    """The time limit's notice, where that comes first; no notice helps what cannot resume."""
    if stage.slice_s is not None and stop.after_s > stage.slice_s:
        stop = Interruption(stage.slice_s, announced=True)
    return stop if stage.resumes else Interruption(stop.after_s, announced=False)


@dataclass(frozen=True)
class _Stand:
    """Where an attempt's seconds went until it lost its nodes.

    Attributes:
        start_s: Before its first step.
        done_s: Work.
        saves_s: Saves.
        kept_s: The part of the work that is saved.
    """

    start_s: float
    done_s: float = 0.0
    saves_s: float = 0.0
    kept_s: float = 0.0


def _stand(stage: StageModel, left_s: float, stop: Interruption) -> _Stand:
    """Where an attempt with so much work left stands at an interruption before its end."""
    ran_s = stop.after_s - stage.start_s
    if ran_s <= 0:
        return _Stand(stop.after_s)
    last = stage.saves(left_s) - 1
    cycle_s = stage.interval_s + stage.save_s
    whole = 0 if math.isinf(cycle_s) else min(int(ran_s / cycle_s), last)
    before_s = whole * stage.interval_s if whole else 0.0
    ran_s = max(0.0, ran_s - (whole * cycle_s if whole else 0.0))
    segment_s = stage.interval_s if whole < last else left_s - before_s
    done_s = before_s + min(ran_s, segment_s)
    in_save_s = max(0.0, ran_s - segment_s)
    saves_s = whole * stage.save_s
    if stop.announced:  # the save that is under way goes on; else there is one more
        return _Stand(stage.start_s, done_s, saves_s + stage.save_s, done_s)
    return _Stand(stage.start_s, done_s, saves_s + in_save_s, before_s)
