"""Times, shares, sizes and counts in words. Pure.

`duration` is for a clock that runs, `span` for what has been, `estimate` for what may come.
"""

import math
import time
from datetime import UTC, datetime

MINUTE_S = 60
HOUR_S = 60 * MINUTE_S
DAY_S = 24 * HOUR_S
_FAR_S = 20 * HOUR_S
_LONG_S = 3 * DAY_S
_LARGE, _SMALL, _TINY = 100, 10, 0.1


def duration(seconds: float) -> str:
    """`12 s`, `3:05` or `1:02:03`, the last two with minutes and seconds."""
    whole = round(seconds)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minute:02}:{second:02}"
    return f"{minutes}:{second:02}" if minutes else f"{whole} s"


def step_time(seconds: float) -> str:
    """Seconds of a step with three digits: `0.0123 s`, `1.50 s`, `82.0 s`."""
    digits = 4 if seconds < 0.1 else 3 if seconds < 1 else 2 if seconds < 10 else 1  # noqa: PLR2004
    return f"{seconds:.{digits}f} s"


def moment(at: float | None) -> str:
    """`2026-11-27 18:03:21`, local time; a dash where it is not known."""
    return "-" if at is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def clock(at: float, *, now: float) -> str:
    """`18:03`, with the day where that is not the next night: `Sat 28 Nov 18:03`."""
    text = "%H:%M" if abs(at - now) < _FAR_S else "%a %d %b %H:%M"
    return time.strftime(text, time.localtime(at))


def iso(at: float | None) -> str | None:
    """Seconds since 1970 as `2026-11-27T18:03:21Z`, for tables that other programs read."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def span(seconds: float) -> str:
    """Seconds in one unit or two: `0.2 s`, `45 s`, `12 min`, `3 h 5 min` or `2 d 3 h`."""
    if seconds < _SMALL:
        return f"{seconds:.1f} s" if seconds >= _TINY / 2 else "0 s"
    whole = round(seconds)
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        minutes, rest = divmod(whole, MINUTE_S)
        return f"{minutes} min {rest} s" if rest and minutes < _SMALL else f"{minutes} min"
    if whole < DAY_S:
        hours, minutes = divmod(round(whole / 60), 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(round(whole / HOUR_S), 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def estimate(seconds: float) -> str:
    """Seconds in three digits and one unit: `12 s`, `20 min`, `21.4 h`, `12.3 d`; `never`."""
    if math.isinf(seconds):
        return "never"
    if seconds < MINUTE_S:
        return f"{seconds:.3g} s"
    # Rounded first: 59.99 min is 1 h.
    for unit_s, name, below_s in ((MINUTE_S, "min", HOUR_S), (HOUR_S, "h", _LONG_S)):
        if round(seconds / unit_s, 1) * unit_s < below_s:
            return f"{_three(seconds / unit_s)} {name}"
    return f"{_three(seconds / DAY_S)} d"


def percent(share: float | None) -> str:
    """`87%`; with a decimal near nothing and near all; a dash where it is not known."""
    if share is None:
        return "-"
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


def hours(seconds: float) -> str:
    """Hours of so many seconds: `576`, `12.4`, `0.031`."""
    amount = seconds / HOUR_S
    if amount >= _LARGE:
        return f"{amount:,.0f}"
    if amount >= _SMALL:
        return f"{amount:.1f}"
    return f"{amount:.2f}" if amount >= _TINY else f"{amount:.3f}"


def points(number: float) -> str:
    """`87.3 %`, of points; all of them add up to 100."""
    return f"{number:.1f} %"


def counted(count: int, one: str, many: str = "") -> str:
    """`1 attempt`, `3 attempts`."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
