"""How far a value is from the original's."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Numbers = Tensor | float | Sequence[float]
DEFAULT_ATOL = 2e-5
"""Where a vector gives no tolerance of its own: float32 sums in another order."""


@dataclass(frozen=True)
class Finding:
    """One comparison.

    Attributes:
        what: Which value.
        error: Largest absolute difference; infinite where the two cannot be compared.
        tolerance: How large it may be.
        detail: What differs, in words; empty where a number says it all.
    """

    what: str
    error: float
    tolerance: float
    detail: str = ""

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance; not a number is not."""
        return self.error <= self.tolerance


def compare(what: str, got: Numbers, want: Numbers, tolerance: float = DEFAULT_ATOL) -> Finding:
    """Compares numbers of one shape, in float64."""
    ours, theirs = _tensor(got), _tensor(want)
    if ours.shape != theirs.shape:
        detail = f"shape {list(ours.shape)}, the original's is {list(theirs.shape)}"
        return Finding(what, float("inf"), tolerance, detail)
    if not ours.numel():
        return Finding(what, float("inf"), tolerance, "nothing to compare")
    error = float((ours - theirs).abs().max())
    return Finding(what, float("inf") if math.isnan(error) else error, tolerance)


def same(what: str, got: object, want: object) -> Finding:
    """Compares what has to be equal: strings, ids, indices, orders."""
    if isinstance(got, Tensor) and isinstance(want, Tensor):
        got, want = got.tolist(), want.tolist()
    if got == want:
        return Finding(what, 0.0, 0.0)
    return Finding(what, float("inf"), 0.0, f"{_short(got)}, the original's is {_short(want)}")


def _tensor(value: Numbers) -> Tensor:
    found = value if isinstance(value, Tensor) else torch.tensor(value)
    return found.detach().to(torch.float64)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
