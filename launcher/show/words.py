"""Times and shares as all tables write them."""

import time
from datetime import UTC, datetime

_FAR_S = 20 * 3600


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


def share(part: float | None) -> str:
    """`93%`; a dash where it is not known."""
    return "-" if part is None else f"{part:.0%}"


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
