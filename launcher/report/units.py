"""Numbers as the report writes them. Pure."""

import time
from dataclasses import dataclass

MINUTE_S = 60
HOUR_S = 60 * MINUTE_S
DAY_S = 24 * HOUR_S
_LARGE = 100
"""From here on decimals say nothing."""
_SMALL, _TINY = 10, 0.1


@dataclass(frozen=True)
class Price:
    """What a GPU-hour costs.

    Attributes:
        amount: Of the currency.
        currency: Its name.
    """

    amount: float
    currency: str

    def of(self, gpu_hours: float) -> str:
        """What so many cost, such as `26 EUR`."""
        cost = gpu_hours * self.amount
        return f"{cost:,.0f} {self.currency}" if cost >= _LARGE else f"{cost:.2f} {self.currency}"


def span(seconds: float) -> str:
    """`0.2 s`, `45 s`, `12 min`, `3 h 5 min` or `2 d 3 h`."""
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


def hours(seconds: float) -> str:
    """Hours of so many seconds: `576`, `12.4`, `0.031`."""
    amount = seconds / HOUR_S
    if amount >= _LARGE:
        return f"{amount:,.0f}"
    if amount >= _SMALL:
        return f"{amount:.1f}"
    return f"{amount:.2f}" if amount >= _TINY else f"{amount:.3f}"


def moment(at: float | None) -> str:
    """Local time to the second; a dash where there is none."""
    return "-" if at is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def percent(share: float) -> str:
    """A percentage with one decimal."""
    return f"{share:.1f} %"


def counted(count: int, one: str, many: str = "") -> str:
    """`1 attempt`, `3 attempts`."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
