"""Progress of a run on stderr: a live bar per stage on a terminal, else a line now and then."""

from collections.abc import Sequence
from typing import Protocol, Self

from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from db.states import DONE_STATES, StageState
from launcher.show.console import Screen
from launcher.show.status import steps
from launcher.view import StageView
from launcher.words import duration

LINE_EVERY_S = 10.0


class Shower(Protocol):
    """Shows where the stages stand, again and again."""

    def __enter__(self) -> Self:
        """Begins."""

    def __exit__(self, *_: object) -> None:
        """Leaves the terminal as it was."""

    def show(self, views: Sequence[StageView], *, at: float) -> None:
        """Shows the stages as of `at`, Unix seconds."""


def open_progress(screen: Screen) -> Shower:
    """Bars on a terminal, lines elsewhere."""
    return _Bars(screen) if screen.err.is_terminal and not screen.quiet else _Lines(screen)


class _Lines:
    """A line when a stage changes its state, and every ten seconds while it moves."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._last: dict[str, StageView] = {}
        self._told_at: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, views: Sequence[StageView], *, at: float) -> None:
        for view in views:
            if self._is_news(view, at):
                self._screen.say(line(view))
                self._last[view.stage], self._told_at[view.stage] = view, at

    def _is_news(self, view: StageView, at: float) -> bool:
        before = self._last.get(view.stage)
        if before is None or before.state != view.state:
            return True
        return before.step != view.step and at - self._told_at[view.stage] >= LINE_EVERY_S


class _Bars:
    """One bar a stage that has steps, below each other."""

    def __init__(self, screen: Screen) -> None:
        self._bars = Progress(
            TextColumn("{task.fields[line]}", markup=True),
            BarColumn(bar_width=24),
            console=screen.err,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, views: Sequence[StageView], *, at: float) -> None:  # noqa: ARG002 - a bar has its own clock
        for view in views:
            if view.stage not in self._tasks:
                self._tasks[view.stage] = self._bars.add_task("", total=None, line="")
            total = view.total_steps or 1
            done = total if view.state in DONE_STATES else view.step or 0
            self._bars.update(
                self._tasks[view.stage], total=total, completed=done, line=escape(line(view))
            )


def line(view: StageView) -> str:
    """A stage's progress in one line."""
    told = [f"{view.stage}: {view.state}"]
    if view.state is StageState.RUNNING:
        told += _pace(view)
    elif view.cause:
        told.append(view.cause)
    return ", ".join(told)


def _pace(view: StageView) -> list[str]:
    told = []
    if view.epoch is not None:
        told.append(f"epoch {view.epoch + 1}")
    if view.step is not None:
        told.append(f"step {steps(view)}")
    if view.loss is not None:
        told.append(f"loss {view.loss:.4g}")
    if view.step_s:
        told.append(f"{1 / view.step_s:.2g} steps/s")
    if view.eta_s is not None:
        told.append(f"{duration(view.eta_s)} left")
    return told
