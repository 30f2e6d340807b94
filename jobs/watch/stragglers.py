"""Which ranks keep the others waiting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Any

LAGGING = 1.2
"""A rank lags when a step costs it so many times what it costs the median rank."""
SHOWN = 8


@dataclass(frozen=True)
class OwnTime:
    """What a step costs one rank by itself, without waiting for others; means, in seconds.

    Attributes:
        rank: The rank.
        host: Its node.
        forward_s: Its forward passes, see `ForwardWatch`.
        data_s: Waiting for its own data.
    """

    rank: int
    host: str
    forward_s: float
    data_s: float

    @property
    def own_s(self) -> float:
        """Both."""
        return self.forward_s + self.data_s


@dataclass(frozen=True)
class Spread:
    """The ranks beside each other.

    Attributes:
        ranks: At least one.
    """

    ranks: Sequence[OwnTime]

    @property
    def median_s(self) -> float:
        """Of the ranks' own time; of two in the middle the faster one."""
        return median_low([each.own_s for each in self.ranks])

    def lagging(self) -> list[OwnTime]:
        """Ranks that keep the others waiting, the slowest first."""
        limit = LAGGING * self.median_s
        late = [each for each in self.ranks if each.own_s > limit]
        return sorted(late, key=lambda each: -each.own_s)

    def event(self, step: int) -> dict[str, Any] | None:
        """The fields of `stragglers`; None where no rank lags."""
        late = self.lagging()
        if not late:
            return None
        told = [
            {
                "rank": each.rank,
                "host": each.host,
                "own_s": each.own_s,
                "forward_s": each.forward_s,
                "data_s": each.data_s,
                "ratio": each.own_s / self.median_s if self.median_s else None,
            }
            for each in late[:SHOWN]
        ]
        return {"step": step, "median_s": self.median_s, "lagging": len(late), "slowest": told}

    def scalars(self) -> Mapping[str, float]:
        """For TensorBoard."""
        slowest = max(self.ranks, key=lambda each: each.own_s)
        return {
            "own_s_median": self.median_s,
            "own_s_slowest": slowest.own_s,
            "data_s_largest": max(each.data_s for each in self.ranks),
            "forward_s_largest": max(each.forward_s for each in self.ranks),
        }
