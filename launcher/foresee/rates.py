"""Rates as people write them: `4/day`, `0.5/h`, `2/week`."""

import re

_UNITS_S = {"h": 3600, "hour": 3600, "d": 86_400, "day": 86_400, "week": 604_800}
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*([a-z]+)", re.ASCII)


def parse_rate(text: str) -> float:
    """Interruptions a second of `4/day`, `0.5/h` or `2/week`.

    Raises:
        ValueError: It is none of these.
    """
    found = _RATE.fullmatch(text.strip())
    if found is None or found[2] not in _UNITS_S:
        raise ValueError(f"{text!r} is not a rate; write 4/day, 0.5/h or 2/week")
    return float(found[1]) / _UNITS_S[found[2]]


def format_rate(per_s: float) -> str:
    """For people, in the unit that gives a number of one and more: 0.2/day is `1.4/week`."""
    for unit in ("h", "day"):
        if per_s * _UNITS_S[unit] >= 1:
            return f"{per_s * _UNITS_S[unit]:.3g}/{unit}"
    return f"{per_s * _UNITS_S['week']:.3g}/week"
