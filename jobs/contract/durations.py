"""Durations and sizes as text. Apart from their types in `units`, which are slow to load."""

import re

_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_MEGABYTES = {"T": 1024 * 1024, "G": 1024, "M": 1}
_NUMBER = r"(\d+(?:\.\d+)?)"
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)", re.ASCII)


def parse_duration(text: object) -> int:
    """Seconds of `12h`, `90m`, `30s`, `2d`, `02:30:00` or `1-12:00:00`.

    Raises:
        ValueError: It is none of these, or not a whole number of seconds.
    """
    if isinstance(text, str):
        if clock := _CLOCK.fullmatch(text):
            days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
            return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
        if (seconds_ := _in_units(text, _SECONDS)) is not None:
            return seconds_
    raise ValueError(f"{text!r} is not a duration; write 12h, 90m, 30s or 1-12:00:00")


def parse_size(text: object) -> float:
    """Gigabytes (of 1024 MB, as Slurm counts) of `900G`, `512M` or `2T`.

    Raises:
        ValueError: It is none of these, or not a whole number of megabytes.
    """
    if isinstance(text, str) and (megabytes := _in_units(text, _MEGABYTES)) is not None:
        return megabytes / 1024
    raise ValueError(f"{text!r} is not a size; write 900G or 512M")


def format_duration(seconds: float) -> str:
    """The shortest exact form that `parse_duration` reads back: 43200 is `12h`."""
    whole = int(seconds)
    unit = next(unit for unit in ("h", "m", "s") if whole % _SECONDS[unit] == 0)
    return f"{whole // _SECONDS[unit]}{unit}"


def format_size(gigabytes: float) -> str:
    """The form that `parse_size` reads back: 0.5 is `512M`."""
    megabytes = round(gigabytes * 1024)
    return f"{megabytes}M" if megabytes % 1024 else f"{megabytes // 1024}G"


def _in_units(text: str, units: dict[str, int]) -> int | None:
    """`text` as a whole number of the smallest unit; None when it is not one."""
    found = re.fullmatch(rf"{_NUMBER}([{''.join(units)}])", text, re.ASCII)
    if found is None:
        return None
    amount = float(found[1]) * units[found[2]]
    return int(amount) if amount.is_integer() else None
