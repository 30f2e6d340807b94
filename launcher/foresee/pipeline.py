"""A run of several stages, many times: when it is done, and where its time goes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from launcher.foresee.model import Rates, Spent, StageModel
from launcher.foresee.stage import Next, Ran, at_random, run_stage

HOUR_S = 3600
CALM = Rates()
"""Nothing interrupts."""
_ENOUGH = 20
"""Where so many runs came to no end, and none to one, no more are simulated."""


@dataclass(frozen=True, kw_only=True)
class PlacedStage:
    """A stage in its pipeline.

    Attributes:
        name: Its name.
        parents: Stages before it, by name; those that are no jobs may be left out.
        model: What it does.
        rates: What interrupts it.
        gpus: That it holds.
    """

    name: str
    parents: tuple[str, ...] = ()
    model: StageModel
    rates: Rates = CALM
    gpus: int = 0


@dataclass(frozen=True)
class StageForesight:
    """A stage over all simulated runs.

    Attributes:
        name: Its name.
        gpus: That it holds.
        spent: Where its time goes, on average.
        p10_s: From its turn to its end in the luckiest tenth, at most.
        p50_s: In half of the runs, at most.
        p90_s: In nine of ten.
    """

    name: str
    gpus: int
    spent: Spent
    p10_s: float
    p50_s: float
    p90_s: float

    @property
    def gpu_hours(self) -> float:
        """GPU time held, on average."""
        return self.gpus * self.spent.held_s / HOUR_S


@dataclass(frozen=True)
class Foresight:
    """What is to be expected of a run.

    Attributes:
        runs: How many were simulated; fewer than wanted where none comes to an end.
        seed: Of the random numbers.
        p10_s: From the run's begin to the end of its last stage in the luckiest tenth, at most;
            infinite, here and below: it came to no end.
        p50_s: In half of the runs, at most.
        p90_s: In nine of ten.
        undone: Runs that came to no end.
        stages: In order.
    """

    runs: int
    seed: int
    p10_s: float
    p50_s: float
    p90_s: float
    undone: int
    stages: tuple[StageForesight, ...]

    @property
    def spent(self) -> Spent:
        """Where the time of all stages goes, on average."""
        return sum((stage.spent for stage in self.stages), Spent())

    @property
    def gpu_hours(self) -> float:
        """GPU time held, on average."""
        return sum(stage.gpu_hours for stage in self.stages)

    @property
    def goodput(self) -> float:
        """Part of the GPU time that goes into work which survives; no GPU counts as one."""
        weighed = [(stage.gpus or 1, stage.spent) for stage in self.stages]
        held = sum(gpus * spent.held_s for gpus, spent in weighed)
        return sum(gpus * spent.productive_s for gpus, spent in weighed) / held if held else 1.0


def foresee(stages: Sequence[PlacedStage], *, runs: int, seed: int) -> Foresight:
    """Simulates a pipeline, parents before children.

    The same stage in the same run of the same seed meets the same luck whatever else changes, so
    that two variants can be compared with few runs.
    """
    done: list[dict[str, Ran]] = []
    ends: list[float] = []
    while len(done) < runs and not (len(ends) == _ENOUGH and min(ends) == math.inf):
        number = len(done)
        following = {s.name: at_random(s.rates, luck(seed, number, s.name)) for s in stages}
        done.append(run_once(stages, following))
        ends.append(max((ran.end_s for ran in done[-1].values()), default=0.0))
    ends.sort()
    return Foresight(
        runs=len(done),
        seed=seed,
        p10_s=quantile(ends, 0.1),
        p50_s=quantile(ends, 0.5),
        p90_s=quantile(ends, 0.9),
        undone=sum(math.isinf(end) for end in ends),
        stages=tuple(_of_stage(s, [each[s.name] for each in done]) for s in stages),
    )


def run_once(stages: Sequence[PlacedStage], following: Mapping[str, Next]) -> dict[str, Ran]:
    """One run; each stage with its own interruptions."""
    done: dict[str, Ran] = {}
    for stage in stages:
        ends = (done[parent].end_s for parent in stage.parents if parent in done)
        turn_s = max(ends, default=0.0)
        if math.isinf(turn_s):
            done[stage.name] = Ran(math.inf, Spent())
        else:
            done[stage.name] = run_stage(stage.model, turn_s, following[stage.name])
    return done


def luck(seed: int, run: int, name: str) -> Random:
    """The random numbers of a stage in a run: the same on every machine and at every time."""
    return Random(f"{seed} {run} {name}")  # noqa: S311 - a simulation, no secret


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest of these values that at least `share` of them do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)]


def _of_stage(stage: PlacedStage, done: Sequence[Ran]) -> StageForesight:
    walls = sorted(math.inf if math.isinf(ran.end_s) else ran.spent.wall_s for ran in done)
    spent = sum((ran.spent for ran in done), Spent()) / len(done)
    p10_s, p50_s, p90_s = (quantile(walls, share) for share in (0.1, 0.5, 0.9))
    return StageForesight(stage.name, stage.gpus, spent, p10_s, p50_s, p90_s)
