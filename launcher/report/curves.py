"""Curves of a stage over its attempts, thinned out so that they can be drawn. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from jobs.contract.events import Event

DRAWN: Mapping[str, str] = {
    "loss": "Loss",
    "lr": "Learning rate",
    "grad_norm": "Gradient norm",
    "clips_per_s": "Throughput, clips per second",
    "step_s": "Step time, seconds",
}
"""The fields of a `step` event that are drawn, with their titles."""
MOST_POINTS = 600
"""Of one curve; more would not be told apart on a screen."""

_MOST = 1e300
"""What is beyond has no room on an axis."""

Point = tuple[int, float]


@dataclass(frozen=True)
class Piece:
    """What one attempt tells of a curve.

    Attributes:
        attempt: Its number in the stage, from 1.
        is_kept: The steps count; otherwise a later attempt made them again.
        points: Step and value, in order.
    """

    attempt: int
    is_kept: bool
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Curve:
    """One curve of a stage.

    Attributes:
        name: Of the field, one of `DRAWN`.
        pieces: Attempt by attempt.
        told: Points that were told; the pieces may have fewer.
        least: The least value that was told.
        most: The greatest.
        last: The last one that counts.
    """

    name: str
    pieces: tuple[Piece, ...]
    told: int
    least: float
    most: float
    last: float

    @property
    def title(self) -> str:
        """For people."""
        return DRAWN[self.name]


def points_of(events: Iterable[Event]) -> dict[str, list[Point]]:
    """The points of each curve that an attempt tells."""
    found: dict[str, list[Point]] = {name: [] for name in DRAWN}
    for event in events:
        step = _finite(event.fields.get("step")) if event.kind == "step" else None
        if step is not None:
            for name, points in found.items():
                value = _finite(event.fields.get(name))
                if value is not None:
                    points.append((int(step), value))
    return {name: points for name, points in found.items() if points}


def _finite(value: object) -> float | None:
    """A number that can be drawn; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -_MOST <= value <= _MOST else None


def curves_of(
    attempts: Sequence[tuple[Mapping[str, Sequence[Point]], int | None]],
) -> list[Curve]:
    """The curves of a stage.

    Args:
        attempts: In order; the points of each, and the last of its steps that count (None: all).
    """
    return [curve for name in DRAWN if (curve := _curve(name, attempts)) is not None]


def _curve(
    name: str, attempts: Sequence[tuple[Mapping[str, Sequence[Point]], int | None]]
) -> Curve | None:
    pieces = [
        piece
        for number, (points, kept_until) in enumerate(attempts, start=1)
        for piece in _pieces(number, points.get(name, ()), kept_until)
    ]
    values = [value for piece in pieces for _, value in piece.points]
    if not values:
        return None
    kept = [piece for piece in pieces if piece.is_kept] or pieces
    share = min(1.0, MOST_POINTS / len(values))
    thinned = tuple(
        Piece(each.attempt, each.is_kept, thin(each.points, math.floor(len(each.points) * share)))
        for each in pieces
    )
    return Curve(name, thinned, len(values), min(values), max(values), kept[-1].points[-1][1])


def _pieces(number: int, points: Sequence[Point], kept_until: int | None) -> list[Piece]:
    """The steps that count, and those that were made again, which begin where the others end."""
    kept = [point for point in points if kept_until is None or point[0] <= kept_until]
    again = list(points[len(kept) :])
    found = [Piece(number, is_kept=True, points=tuple(kept))] if kept else []
    if again:
        found.append(Piece(number, is_kept=False, points=(*kept[-1:], *again)))
    return found


def thin(points: Sequence[Point], most: int) -> tuple[Point, ...]:
    """At most so many of them: the first, the last, and of each bucket the least and the greatest.

    Fewer than four are not possible without losing one of these: then there are four.
    """
    if len(points) <= max(4, most):
        return tuple(points)
    inner, buckets = points[1:-1], max(1, (most - 2) // 2)
    edges = [round(len(inner) * i / buckets) for i in range(buckets + 1)]
    kept = {0, len(points) - 1}
    for start, stop in pairwise(edges):
        if start < stop:
            inside = range(start + 1, stop + 1)
            kept.add(min(inside, key=lambda i: points[i][1]))
            kept.add(max(inside, key=lambda i: points[i][1]))
    return tuple(points[i] for i in sorted(kept))
