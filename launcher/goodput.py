"""How much of the allocated time became steps that survived. Pure; from the ledger's columns.

Goodput is the seconds of surviving steps, without their wait for data, by the seconds that jobs
held their nodes: what `launcher report` calls productive. What is missing to 1 is starting up,
saving, steps made again, waiting for data, and the end of an attempt.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol


class Told(Protocol):
    """What the ledger knows of an attempt, in columns of these names."""

    @property
    def first_step(self) -> int | None:
        """The step it went on from."""

    @property
    def last_step(self) -> int | None:
        """The last one it made."""

    @property
    def steps_gained(self) -> int | None:
        """How many of them a checkpoint holds; None while it goes on."""

    @property
    def steps_lost(self) -> int | None:
        """How many must be made again."""

    @property
    def ended_at(self) -> float | None:
        """When it ended, Unix seconds."""

    @property
    def wall_clock_s(self) -> float | None:
        """Seconds that it held its nodes."""

    @property
    def work_s(self) -> float | None:
        """Seconds of all its steps, without their wait for data."""


@dataclass(frozen=True)
class Work:
    """What became of allocated time, in seconds.

    Attributes:
        allocated_s: Held by attempts of stages that tell how long a step takes.
        useful_s: Of steps that survived, so far.
        lost_s: Of steps that were made in vain.
    """

    allocated_s: float = 0.0
    useful_s: float = 0.0
    lost_s: float = 0.0

    @property
    def goodput(self) -> float | None:
        """Part of the allocated time that became steps that survived; None: not known."""
        return self.useful_s / self.allocated_s if self.allocated_s > 0 else None

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.allocated_s + other.allocated_s,
            self.useful_s + other.useful_s,
            self.lost_s + other.lost_s,
        )


def work_of(attempts: Sequence[Told]) -> Work:
    """The work of the attempts of one stage run; nothing where no step is told."""
    if all(attempt.work_s is None for attempt in attempts):
        return Work()
    return in_all(_of_one(attempt) for attempt in attempts)


def in_all(works: Iterable[Work]) -> Work:
    """The work of several attempts or stage runs."""
    return sum(works, Work())


def _of_one(attempt: Told) -> Work:
    """An attempt that came to no step has only been started."""
    held_s = attempt.wall_clock_s or 0.0
    each_s = mean_step_s(attempt) or 0.0
    useful_s = min(held_s, surviving_steps(attempt) * each_s)
    return Work(held_s, useful_s, min(held_s - useful_s, (attempt.steps_lost or 0) * each_s))


def mean_step_s(attempt: Told) -> float | None:
    """Mean seconds of its steps, without their wait for data; None: not known."""
    made = _made(attempt)
    return attempt.work_s / made if attempt.work_s is not None and made else None


def surviving_steps(attempt: Told) -> int:
    """Steps that need not be made again, as far as is known: those of a running attempt count."""
    if attempt.steps_gained is not None:
        return max(0, attempt.steps_gained)
    return _made(attempt) if attempt.ended_at is None else 0


def _made(attempt: Told) -> int:
    return max(0, (attempt.last_step or 0) - (attempt.first_step or 0))
