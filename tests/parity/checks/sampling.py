"""Which frames of a clip are taken: centres, fixed starts, random ones, a fixed rate."""

import random
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from jobs.data.sampling import Sampling, at_rate
from tests.parity.findings import Finding, same
from tests.parity.vectors import Vector

KEY = re.compile(r"vlen(?P<count>\d+)_n(?P<frames>\d+)(?:_fix(?P<fix>\d+))?")
FPS_KEY = re.compile(
    r"fps(?P<wanted>[\d.]+)_vlen(?P<count>\d+)_in(?P<rate>[\d.]+)_max(?P<most>-?\d+)"
)
Range = tuple[int, int]


class ReferenceDraws:
    """The calls of Python's and numpy's global generators that the original makes."""

    def __init__(self, seed: int) -> None:
        self._python, self._numpy = random.Random(seed), np.random.RandomState(seed)

    def between(self, low: int, high: int) -> int:
        return self._python.choice(range(low, high))

    def distinct(self, count: int, of: int) -> list[int]:
        return sorted(int(i) for i in self._numpy.permutation(of)[:count])


def recognises(vector: Vector) -> bool:
    return "get_frame_indices" in vector.module


def check(vector: Vector) -> Iterator[Finding]:
    for key, want in vector.facts.get("middle", {}).items():
        yield same(f"middle {key}", _chosen("middle", key), want)
    for key, want in vector.facts.get("middle_fix_start", {}).items():
        fix = _parsed(KEY, key)["fix"]
        yield same(f"start {key}", _chosen(f"start{fix}", key), want)
    for key, case in vector.facts.get("rand", {}).items():
        yield from _check_rand(key, case)
    for key, want in vector.facts.get("fps", {}).items():
        yield same(f"fps {key}", _at_rate(key), want)


def _chosen(sample: str, key: str, draws: Any = None) -> list[int]:
    parsed = _parsed(KEY, key)
    sampling = Sampling.parse(sample)
    return sampling.choose(int(parsed["count"]), int(parsed["frames"]), draws=draws)


def _at_rate(key: str) -> list[int]:
    parsed = _parsed(FPS_KEY, key)
    found = at_rate(int(parsed["count"]), float(parsed["rate"]), float(parsed["wanted"]))
    most = int(parsed["most"])
    return found[:most] if most > 0 else found


def _check_rand(key: str, case: dict[str, Any]) -> Iterator[Finding]:
    """The exact draws; from which ranges they come; that the original's extremes are theirs."""
    for seed, want in case["seeded"].items():
        drawn = _chosen("rand_reference", key, ReferenceDraws(int(seed)))
        yield same(f"rand {key} seed {seed}", drawn, want)
    asked = _Asked()
    chosen = _chosen("rand_reference", key, asked)
    yield same(f"rand {key} falls back", asked.of is not None, case["uses_permutation_fallback"])
    if asked.of is None:
        ranges = [[low, high] for low, high in asked.ranges]
        yield same(f"rand {key} ranges", ranges, case["half_open_ranges"])
        possible = [(low, high - 1) for low, high in asked.ranges]
    else:
        possible = [(i, asked.of - asked.count + i) for i in range(asked.count)]
    possible += possible[-1:] * (len(chosen) - len(possible))
    observed = zip(case["observed_min_of_2000"], case["observed_max_of_2000"], strict=True)
    yield _extremes(f"rand {key} extremes", possible, list(observed), drawn_evenly=not asked.count)


def _extremes(
    what: str, possible: list[Range], observed: list[Range], *, drawn_evenly: bool
) -> Finding:
    """How far the original's extremes lie outside of what is possible here, or too far inside.

    Of 2000 even draws among w values the outermost 100th of w is missed once in 10^8 times.
    """
    if len(possible) != len(observed):
        return same(what, possible, observed)
    pairs = [
        pair
        for (low, high), (least, most) in zip(possible, observed, strict=True)
        for pair in ((least - low, high - low), (high - most, high - low))
    ]
    outside = max(-inside for inside, _ in pairs)
    hidden = max(inside - width // 100 for inside, width in pairs) if drawn_evenly else 0
    return Finding(what, float(max(outside, hidden, 0)), 0.0)


class _Asked:
    """Draws the lowest, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.ranges: list[Range] = []
        self.count, self.of = 0, None

    def between(self, low: int, high: int) -> int:
        self.ranges.append((low, high))
        return low

    def distinct(self, count: int, of: int) -> list[int]:
        self.count, self.of = count, of
        return list(range(count))


def _parsed(pattern: re.Pattern[str], key: str) -> dict[str, str]:
    found = pattern.fullmatch(key)
    if found is None:
        raise ValueError(f"{key!r} is not of the form {pattern.pattern}")
    return found.groupdict()
