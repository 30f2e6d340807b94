"""What GPU-hours cost. Pure."""

from dataclasses import dataclass

_LARGE = 100
"""From here on decimals say nothing."""


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
