"""How long the steps of an attempt took, from what it tells. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_PLACES = ("step", "checkpoint", "exit")
"""Events that tell a step that was reached."""
_MOST_S = 1e15
"""A larger number is nonsense."""


@dataclass
class Work:
    """Adds up the seconds of steps, without their wait for data.

    Training tells how long its steps took; an evaluation and a foreign program only where they
    are, and the time of day says the rest.

    Attributes:
        seconds: So far; None: no step was told.
    """

    seconds: float | None = None
    _step: int | None = field(default=None, init=False)
    _at: float = field(default=0.0, init=False)
    _each_s: float | None = field(default=None, init=False)
    _timed_step: int = field(default=0, init=False)
    _timed_s: float = field(default=0.0, init=False)

    def hear(self, at: float, kind: str, fields: Mapping[str, Any]) -> None:
        """Takes note of an event; they come in order.

        Args:
            at: Unix seconds.
            kind: Of the event, see `jobs.contract.events`.
            fields: Likewise.
        """
        if kind == "started":
            self._step, self._at = fields.get("resume_step") or 0, at
            self._timed_step, self._timed_s = self._step, self.seconds or 0.0
        step = fields.get("step") if kind in _PLACES else None
        if self._step is None or not isinstance(step, int) or step <= self._step:
            return
        step_s = _seconds(fields.get("step_s"))
        if step_s is not None:
            self._each_s = max(0.0, step_s - (_seconds(fields.get("data_s")) or 0.0))
        if self._each_s is None:
            self.seconds = (self.seconds or 0.0) + max(0.0, at - self._at)
        else:
            self.seconds = self._timed_s + (step - self._timed_step) * self._each_s
        if step_s is not None:  # a mean is of all steps since the last one, those saved between too
            self._timed_step, self._timed_s = step, self.seconds
        self._step, self._at = step, at


def _seconds(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= _MOST_S else None  # type: ignore[arg-type, operator]
