"""How far an attempt came and when, from its events. Pure; a damaged event says nothing.

A stage of ours tells how long its steps took; an evaluation and a foreign program only where they
are. Times are put between the attempt's start and end, whatever the clocks of its nodes say.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from jobs.contract.events import Event

_PLACES = ("step", "checkpoint", "exit")
"""Events that tell a step that was reached."""
_MOST = 1e15
"""A larger number is nonsense, and its sums would not be finite."""


@dataclass(frozen=True)
class Stretch:
    """Steps that were told together.

    Attributes:
        first: The step before them.
        last: The last of them; as `first` where a program tells no steps.
        work_s: Seconds of work.
        data_s: Seconds of waiting for data, beside the work.
    """

    first: int
    last: int
    work_s: float
    data_s: float = 0.0

    def share_after(self, step: int) -> float:
        """Part of it that lies after a step."""
        made = self.last - self.first
        return max(0, self.last - max(self.first, step)) / made if made else 0.0


@dataclass(frozen=True)
class Save:
    """A checkpoint that was told.

    Attributes:
        at: When it was whole.
        save_s: Seconds it took.
        held_s: Of them, those that training waited.
    """

    at: float
    save_s: float
    held_s: float


@dataclass(frozen=True)
class Trace:
    """What an attempt did between its first step and its last.

    Attributes:
        first_at: When its first step was to come.
        first_step: Where it went on from.
        last_at: When it told its last step.
        last_step: That step.
        stretches: In order.
        saves: In order.
        tells_steps: It told at least one step.
        ended_well: Its last word is that all is done.
        exit_at: When it told its end.
    """

    first_at: float
    first_step: int
    last_at: float
    last_step: int
    stretches: tuple[Stretch, ...]
    saves: tuple[Save, ...]
    tells_steps: bool
    ended_well: bool
    exit_at: float | None


def trace_of(events: Sequence[Event], began: float, ended: float) -> Trace | None:
    """The trace of an attempt that came to its first step; None for one that did not.

    Args:
        events: Those it has told.
        began: When it got its nodes, Unix seconds.
        ended: When it lost them, or now.
    """
    start = next((event for event in events if event.kind == "started"), None)
    if start is None:
        return None

    def clamped(at: float) -> float:
        return min(max(at, began), ended) if math.isfinite(at) else began

    first_at, first_step = clamped(start.at), whole(start, "resume_step") or 0
    places = [(clamped(at), step, event) for at, step, event in _places(events, first_step)]
    timed = [place for place in places if number(place[2], "data_s") is not None]
    stretches = _timed(timed, first_step) if timed else _by_clock(places, first_at, first_step)
    last_at, last_step = (places[-1][0], places[-1][1]) if places else (first_at, first_step)
    if timed and last_step > timed[-1][1]:  # a save or the end tells of steps beyond
        stretches.append(_untold(timed[-1][2], timed[-1][1], last_step))
    ends = [event for event in events if event.kind == "exit"]
    return Trace(
        first_at=first_at,
        first_step=first_step,
        last_at=max(first_at, last_at),
        last_step=last_step,
        stretches=tuple(stretches),
        saves=tuple(_saves(events, clamped)),
        tells_steps=any(event.kind == "step" for _, _, event in places),
        ended_well=bool(ends) and ends[-1].fields.get("outcome") == "done",
        exit_at=clamped(ends[-1].at) if ends else None,
    )


def number(event: Event, name: str) -> float | None:
    """A field that is a finite number that is not negative; None for anything else."""
    value = event.fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= _MOST else None


def whole(event: Event, name: str) -> int | None:
    """Likewise, as a whole number."""
    value = number(event, name)
    return None if value is None else int(value)


def _places(events: Sequence[Event], first: int) -> Iterator[tuple[float, int, Event]]:
    """Events that tell of a step beyond all that were told before."""
    reached = first
    for event in events:
        step = whole(event, "step") if event.kind in _PLACES else None
        if step is not None and step > reached:
            reached = step
            yield event.at, step, event


def _timed(places: Sequence[tuple[float, int, Event]], before: int) -> list[Stretch]:
    """Stretches by what each step took; `step_s` has the wait for data in it."""
    found = []
    for _, step, event in places:
        step_s, data_s = number(event, "step_s") or 0.0, number(event, "data_s") or 0.0
        data_s, count = min(data_s, step_s), step - before
        found.append(Stretch(before, step, (step_s - data_s) * count, data_s * count))
        before = step
    return found


def _by_clock(places: Sequence[tuple[float, int, Event]], at: float, before: int) -> list[Stretch]:
    """Stretches by the time of day."""
    found = []
    for later, step, _ in places:
        found.append(Stretch(before, step, max(0.0, later - at)))
        at, before = max(at, later), step
    return found


def _untold(last: Event, before: int, step: int) -> Stretch:
    """Steps after the last one told, as long as those before it took."""
    return _timed([(last.at, step, last)], before)[0]


def _saves(events: Sequence[Event], clamped: Callable[[float], float]) -> Iterator[Save]:
    for event in events:
        if event.kind == "checkpoint":
            save_s = number(event, "save_s") or 0.0
            yield Save(clamped(event.at), save_s, number(event, "held_s") or 0.0)
