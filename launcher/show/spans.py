"""Times, shares and sizes in few characters."""

import math

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
_LONG_S = 3 * _DAY_S


def span(seconds: float) -> str:
    """Three digits in the unit that fits: `12 s`, `20 min`, `21.4 h`, `12.3 d`; `never`."""
    if math.isinf(seconds):
        return "never"
    if seconds < _MINUTE_S:
        return f"{seconds:.3g} s"
    # Rounded first: 59.99 min is 1 h.
    for unit_s, name, below_s in ((_MINUTE_S, "min", _HOUR_S), (_HOUR_S, "h", _LONG_S)):
        if round(seconds / unit_s, 1) * unit_s < below_s:
            return f"{_three(seconds / unit_s)} {name}"
    return f"{_three(seconds / _DAY_S)} d"


def percent(share: float) -> str:
    """`87%`; with a decimal near nothing and near all."""
    points = 100 * share
    return f"{points:.1f}%" if 0 < points < 10 or 95 < points < 100 else f"{points:.0f}%"  # noqa: PLR2004


def size(count: float) -> str:
    """`7.4 GB`, in powers of 1000 as `df -H` counts."""
    for name, each in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= each:
            return f"{_three(count / each)} {name}"
    return f"{count:.0f} B"


def _three(number: float) -> str:
    """At most three digits, and all before the point."""
    return f"{number:.3g}" if number < 1000 else f"{number:.0f}"  # noqa: PLR2004 - three digits
