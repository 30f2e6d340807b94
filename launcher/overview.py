"""A run in one line, from what is known of its stages. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from db.schema import Run
from db.states import DONE_STATES, StageState
from launcher.forecast import RunForecast
from launcher.goodput import Work, in_all
from launcher.view import StageView

_FIRST_TOLD = (
    StageState.FAILED,
    StageState.HELD,
    StageState.RUNNING,
    StageState.INTERRUPTED,
    StageState.PENDING,
    StageState.SUBMITTING,
    StageState.WAITING,
    StageState.CANCELLED,
)
"""Which of its open stages stands for a run, the most telling one first."""


@dataclass(frozen=True)
class RunLine:
    """A run in one line.

    Attributes:
        run: The run.
        done: Stages that are done.
        stages: Stages in all.
        at: The stage that it stands at; None: it is done.
        attempts: Of all stages, likewise the following.
        steps_lost: Steps executed in vain.
        wall_clock_s: Time with an allocation.
        queued_s: Time spent queueing.
        gpu_hours: GPU time held.
        work: What became of the allocated time.
        eta_s: Seconds until it is done; None: not known.
    """

    run: Run
    done: int
    stages: int
    at: StageView | None
    attempts: int
    steps_lost: int
    wall_clock_s: float
    queued_s: float
    gpu_hours: float
    work: Work
    eta_s: float | None


def run_line(run: Run, views: Sequence[StageView], foreseen: RunForecast) -> RunLine:
    """The line of a run whose stages are these."""
    return RunLine(
        run=run,
        done=sum(view.state in DONE_STATES for view in views),
        stages=len(views),
        at=stands_at(views),
        attempts=sum(view.attempts for view in views),
        steps_lost=sum(view.steps_lost for view in views),
        wall_clock_s=sum(view.wall_clock_s for view in views),
        queued_s=sum(view.queued_s for view in views),
        gpu_hours=sum(view.gpu_hours for view in views),
        work=in_all(view.work for view in views),
        eta_s=None if foreseen.stopped else foreseen.eta_s,
    )


def stands_at(views: Sequence[StageView]) -> StageView | None:
    """The stage that a run stands at: what is wrong first, then what runs, then what waits."""
    open_ = [view for view in views if view.state not in DONE_STATES]
    return min(open_, key=lambda view: _FIRST_TOLD.index(view.state), default=None)
