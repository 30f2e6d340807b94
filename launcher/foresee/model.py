"""A stage and what interrupts it, as the few numbers that a simulation needs."""

import math
from dataclasses import dataclass, fields

ROUNDING = 1e-9
"""Part of an interval below which what is left of the work is rounding, not work."""


@dataclass(frozen=True, kw_only=True)
class StageModel:
    """What a stage does between interruptions. Seconds.

    Attributes:
        work_s: Of steps, if nothing came between.
        save_s: That a save holds the work up.
        interval_s: Of work between two saves; infinite: only the end is saved.
        start_s: From the begin of an attempt to its first step.
        first_wait_s: In the queue before the first attempt.
        wait_s: In the queue before each further one.
        slice_s: From the begin of an attempt to the notice of its time limit; None: it has none
            that matters.
        resumes: What was saved is gone on from; otherwise each attempt begins anew.
    """

    work_s: float
    save_s: float = 0.0
    interval_s: float = math.inf
    start_s: float = 0.0
    first_wait_s: float = 0.0
    wait_s: float = 0.0
    slice_s: float | None = None
    resumes: bool = True

    def saves(self, left_s: float) -> int:
        """How many saves come with so much work, that at the end included."""
        if math.isinf(self.interval_s):
            return 1
        return max(1, math.ceil(left_s / self.interval_s - ROUNDING))

    @property
    def undisturbed_s(self) -> float:
        """From its turn to its end where nothing interrupts it, not even a time limit."""
        saves_s = self.saves(self.work_s) * self.save_s
        return self.first_wait_s + self.start_s + self.work_s + saves_s


@dataclass(frozen=True)
class Rates:
    """How often a job that holds its nodes is interrupted; each at random moments (Poisson).

    Attributes:
        hard_per_s: Without notice: the work since the last save is lost.
        announced_per_s: With time to save: only the restart is lost.
    """

    hard_per_s: float = 0.0
    announced_per_s: float = 0.0


@dataclass(frozen=True)
class Interruption:
    """What ends an attempt.

    Attributes:
        after_s: Seconds after the attempt began; infinite: never.
        announced: There is time to save.
    """

    after_s: float
    announced: bool


@dataclass(frozen=True)
class Spent:
    """Where a stage's time went, in seconds; the parts come to its time from its turn to its end.

    Attributes:
        productive_s: Of work that survived.
        saves_s: That saves held it up.
        lost_s: Of work that was done again.
        start_s: Until first steps.
        queue_s: Without nodes.
        interruptions: How often it lost its nodes.
    """

    productive_s: float = 0.0
    saves_s: float = 0.0
    lost_s: float = 0.0
    start_s: float = 0.0
    queue_s: float = 0.0
    interruptions: float = 0

    @property
    def held_s(self) -> float:
        """That it held its nodes."""
        return self.productive_s + self.saves_s + self.lost_s + self.start_s

    @property
    def wall_s(self) -> float:
        """In all."""
        return self.held_s + self.queue_s

    @property
    def goodput(self) -> float:
        """Part of the time with nodes that went into work which survived."""
        return self.productive_s / self.held_s if self.held_s else 1.0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __truediv__(self, count: float) -> "Spent":
        return Spent(*(getattr(self, f.name) / count for f in fields(self)))
