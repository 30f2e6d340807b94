"""When to save: each so many steps, or as often as pays.

`jobs.contract.interval` has the formula and its sources. It is flat around its best: an interval
wrong by a factor of two costs a few points at most, so a rough mean time between losses is enough.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from jobs.checkpoint.progress import Progress
from jobs.contract.checkpointing import Checkpointing
from jobs.contract.hazard import Hazard
from jobs.contract.interval import daly_s

CHOOSE_EVERY_S = 3600.0
_EARLY_SAVES = 3
"""After each of the first saves the interval is chosen anew: the very first is no typical one."""
_SAVES_REMEMBERED = 5
_STEPS_REMEMBERED = 50


@dataclass(frozen=True)
class Choice:
    """How often to save.

    Attributes:
        interval_s: Seconds between two saves.
        every_steps: That many steps, as far as steps were timed.
        save_s: Seconds that a save holds training up; None: none was seen yet.
        mtbf_s: Mean seconds between losses of work.
        why: How the interval follows from these, for people.
    """

    interval_s: float
    every_steps: int | None
    save_s: float | None
    mtbf_s: float
    why: str


@dataclass(frozen=True)
class Measured:
    """What saves and steps take, in seconds; None: not seen yet.

    Attributes:
        held_s: A save holds training up so long.
        durable_s: After so long it is whole on the disk.
        step_s: An optimizer step.
    """

    held_s: float | None = None
    durable_s: float | None = None
    step_s: float | None = None


def choose(rules: Checkpointing, measured: Measured, mtbf_s: float) -> Choice:
    """The interval of `every: auto`, within the bounds of the file and of what is possible.

    Before a save was seen it is the shortest that is allowed: the first save is the measurement.
    """
    lowest_s, lowest = _lowest(rules, measured)
    if measured.held_s is None:
        interval_s, why = lowest_s, f"no save has been timed yet: {lowest}"
    else:
        best_s = daly_s(measured.held_s, mtbf_s)
        interval_s, bound = _within(best_s, lowest_s, lowest, rules.max_interval)
        why = (
            f"a save holds training for {measured.held_s:.2g} s and work is lost once in "
            f"{mtbf_s / 3600:.3g} h: best is {best_s:.0f} s{bound}"
        )
    steps = None
    if measured.step_s:
        steps = max(1, round(interval_s / measured.step_s))
    return Choice(interval_s, steps, measured.held_s, mtbf_s, why)


def _lowest(rules: Checkpointing, measured: Measured) -> tuple[float, str]:
    """The shortest interval that makes sense, and what makes it so."""
    bounds = [
        (float(rules.min_interval), "min_interval"),
        (measured.durable_s or 0.0, "the time until a save is on the disk"),
        (measured.step_s or 0.0, "one step"),
    ]
    seconds, name = max(bounds, key=lambda bound: bound[0])
    return seconds, f"{name}, {seconds:.3g} s"


def _within(best_s: float, lowest_s: float, lowest: str, highest_s: float) -> tuple[float, str]:
    """The interval inside its bounds, and what moved it there; one save at a time comes first."""
    if best_s < lowest_s or lowest_s > highest_s:
        return lowest_s, f", but not below {lowest}"
    if best_s > highest_s:
        return highest_s, f", but not above max_interval, {highest_s:.3g} s"
    return best_s, ""


class SaveTimer:
    """Says on rank 0 when the next save is due; all ranks go by it.

    Args:
        rules: The stage's `checkpoint`.
        hazard: Reads how often work is lost; called at each choice.
        since: Where this attempt resumed.
        now_s: The clock of `is_due` and `began`, any zero.
        durable_s: Seconds until the save it resumed from was on the disk, where that is known.
    """

    def __init__(
        self,
        rules: Checkpointing,
        hazard: Callable[[], Hazard],
        *,
        since: Progress,
        now_s: float,
        durable_s: float | None = None,
    ) -> None:
        self._rules, self._hazard = rules, hazard
        self._last, self._last_s, self._started_s = since, now_s, now_s
        self._held_s: deque[float] = deque(maxlen=_SAVES_REMEMBERED)
        self._durable_s: deque[float] = deque(maxlen=_SAVES_REMEMBERED)
        self._step_s: deque[float] = deque(maxlen=_STEPS_REMEMBERED)
        if durable_s:
            self._durable_s.append(durable_s)
        self._saves = 0
        self._choice: Choice | None = None
        self._chosen_s = now_s
        self._stale = rules.every == "auto"
        self._told: Choice | None = None

    @property
    def choice(self) -> Choice | None:
        """What `every: auto` has chosen; None before the first question, or without it."""
        return self._choice

    def stepped(self, step_s: float) -> None:
        """Takes note of a step's seconds, without those that a save held it up."""
        self._step_s.append(step_s)

    def began(self, progress: Progress, now_s: float) -> None:
        """Takes note of a save, for whatever reason, that has let training go on at `now_s`."""
        self._last, self._last_s = progress, now_s

    def saved(self, held_s: float, durable_s: float) -> None:
        """Takes note of what a save took that is on the disk by now.

        Args:
            held_s: Seconds that it held training up.
            durable_s: Seconds from its begin until it was whole on the disk.
        """
        self._held_s.append(held_s)
        self._durable_s.append(durable_s)
        self._saves += 1
        self._stale = self._stale or self._saves <= _EARLY_SAVES

    def is_due(self, progress: Progress, now_s: float) -> bool:
        """Whether the state at `progress` should be saved; true until `began` says it is.

        Args:
            progress: After the step that is just done, or about to be.
            now_s: Now.
        """
        if progress.step <= self._last.step:
            return False
        if self._ends_epoch(progress):
            return True
        every = self._rules.every
        if every != "auto":
            return progress.step // every > self._last.step // every
        choice = self._chosen(now_s)
        # Of two steps around the right moment the nearer one.
        half_s = median(self._step_s) / 2 if self._step_s else 0.0
        return now_s - self._last_s + half_s >= choice.interval_s

    def news(self) -> Choice | None:
        """A choice that has not been told; the next call gives None until there is another."""
        choice = self._choice
        if choice is None or choice == self._told:
            return None
        self._told = choice
        return choice

    def _ends_epoch(self, progress: Progress) -> bool:
        """Whether an epoch is just over; an end that was missed is not made up for."""
        is_end = progress.batch == 0 and progress.epoch > self._last.epoch
        return self._rules.keep_epochs and is_end

    def _chosen(self, now_s: float) -> Choice:
        """The choice, made anew where it is due."""
        is_old = now_s - self._chosen_s >= CHOOSE_EVERY_S
        if self._choice is None or self._stale or is_old:
            mtbf_s = self._hazard().mean_time_between_s(now_s - self._started_s)
            self._choice = choose(self._rules, self._measured(), mtbf_s)
            self._chosen_s, self._stale = now_s, False
        return self._choice

    def _measured(self) -> Measured:
        return Measured(_median(self._held_s), _median(self._durable_s), _median(self._step_s))


def _median(seconds: deque[float]) -> float | None:
    return median(seconds) if seconds else None
