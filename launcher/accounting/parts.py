"""The parts that allocated time is taken apart into. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum


class Part(StrEnum):
    """A part of the waterfall; together they are the allocated time."""

    PRODUCTIVE = "productive"
    START_UP = "start-up"
    CHECKPOINT = "checkpoint"
    LOST = "lost"
    IDLE = "idle"


@dataclass(frozen=True)
class Spent:
    """Seconds of allocations, or GPU-seconds; the parts come to `allocated`.

    Attributes:
        allocated: From the start of a job to its end, as the cluster knows them.
        steps: Of steps that survived, without the wait for their data.
        data: Of their wait for data.
        lost: Of steps that were made again, or never came to be saved.
        start: Until the first step was to come.
        saves: That saves held training, those at the end included.
        end: From the last step and its save until the job was gone.
    """

    allocated: float = 0.0
    steps: float = 0.0
    data: float = 0.0
    lost: float = 0.0
    start: float = 0.0
    saves: float = 0.0
    end: float = 0.0

    @property
    def other(self) -> float:
        """What no event explains."""
        told = self.steps + self.data + self.lost + self.start + self.saves + self.end
        return max(0.0, self.allocated - told)

    @property
    def idle(self) -> float:
        """Waiting for data, the tail after the last save, and what no event explains."""
        return max(0.0, self.allocated - self.steps - self.start - self.saves - self.lost)

    @property
    def goodput(self) -> float:
        """Part of the allocated time that went into steps that survived."""
        return self.steps / self.allocated if self.allocated else 0.0

    @property
    def waterfall(self) -> dict[Part, float]:
        """The five parts that come to `allocated`."""
        return {
            Part.PRODUCTIVE: self.steps,
            Part.START_UP: self.start,
            Part.CHECKPOINT: self.saves,
            Part.LOST: self.lost,
            Part.IDLE: self.idle,
        }

    @property
    def idle_parts(self) -> dict[str, float]:
        """What is in the idle part."""
        return {
            "waiting for data": self.data,
            "after the last save": self.end,
            "not explained": self.other,
        }

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(**{name: getattr(self, name) + getattr(other, name) for name in _NAMES})

    def __mul__(self, factor: float) -> "Spent":
        return Spent(**{name: getattr(self, name) * factor for name in _NAMES})


_NAMES = [each.name for each in fields(Spent)]


def total_of(each: Sequence[Spent]) -> Spent:
    """The sum; every part is added up exactly, so that many small ones lose nothing."""
    return Spent(**{name: math.fsum(getattr(one, name) for one in each) for name in _NAMES})


def fractions(parts: Mapping[Part, float]) -> dict[Part, float]:
    """Each part by the sum of all; nothing at all was none of them."""
    whole = math.fsum(parts.values())
    return {part: amount / whole if whole else 0.0 for part, amount in parts.items()}


def percentages(parts: Mapping[Part, float], decimals: int = 1) -> dict[Part, float]:
    """Rounded so that what is shown comes to 100.

    Each is rounded down; the units that are missing go to those that lost most by it.
    """
    unit = 10**decimals
    exact = {part: 100 * unit * share for part, share in fractions(parts).items()}
    whole = {part: math.floor(amount) for part, amount in exact.items()}
    missing = 100 * unit - sum(whole.values()) if any(exact.values()) else 0
    by_rest = sorted(exact, key=lambda part: whole[part] - exact[part])
    for part in by_rest[:missing]:
        whole[part] += 1
    return {part: amount / unit for part, amount in whole.items()}
