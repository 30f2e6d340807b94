"""When stages and their run will be done, and what that rests on. Pure.

Nobody knows how long a job will wait in the queue: no forecast holds a wait. Neither does it hold
interruptions to come.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from db.states import DONE_STATES, StageState
from launcher.expectation import Expectation
from launcher.view import StageView, steps_left_s

BY_STEPS = "last steps"
STOPPED = (StageState.HELD, StageState.FAILED, StageState.CANCELLED)


@dataclass(frozen=True)
class RunForecast:
    """When a run will be done.

    Attributes:
        eta_s: Seconds until it is; stages of which nothing is known count as nothing. None: it
            is done, or nothing is known at all.
        without: Stages of which nothing is known.
        stopped: Stages that do not go on by themselves.
    """

    eta_s: float | None = None
    without: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()


def forecast(
    views: Sequence[StageView],
    needs: Mapping[str, Sequence[str]],
    expected: Mapping[str, Expectation],
    *,
    in_turn: bool,
) -> tuple[list[StageView], RunForecast]:
    """The views with their ETA, and that of the run.

    Args:
        views: The stages of one run, parents first.
        needs: Parents by stage.
        expected: What stages take in all, as far as it is known.
        in_turn: The cluster runs one stage at a time.
    """
    ends: dict[str, float] = {}
    unknown: set[str] = set()
    found = []
    for view in views:
        left_s, basis = _left(view, expected.get(view.stage))
        before = list(ends) if in_turn else needs[view.stage]
        ends[view.stage] = max((ends[name] for name in before), default=0.0) + (left_s or 0.0)
        if left_s is None or unknown.intersection(before):
            unknown.add(view.stage)
        hidden = view.stage in unknown or view.state in DONE_STATES
        eta_s = None if hidden else ends[view.stage]
        found.append(replace(view, work_left_s=left_s, eta_s=eta_s, eta_basis=basis))
    return found, _of_run(found, max(ends.values(), default=0.0))


def _of_run(views: Sequence[StageView], end_s: float) -> RunForecast:
    open_ = [view for view in views if view.state not in DONE_STATES]
    is_known = any(view.work_left_s is not None for view in open_)
    return RunForecast(
        eta_s=end_s if is_known else None,
        without=tuple(v.stage for v in open_ if v.work_left_s is None and v.state not in STOPPED),
        stopped=tuple(view.stage for view in open_ if view.state in STOPPED),
    )


def _left(view: StageView, expectation: Expectation | None) -> tuple[float | None, str | None]:
    """Seconds of work that a stage has before it, and by what that is known."""
    if view.state in DONE_STATES:
        return 0.0, None
    if view.state in STOPPED:
        return None, None
    left_s = steps_left_s(view.total_steps, _kept_step(view), view.step_s)
    if left_s is not None:
        return left_s, BY_STEPS
    if expectation is None or view.wall_clock_s >= expectation.wall_s:
        return None, None  # it takes longer than was expected: how much longer nobody knows
    return expectation.wall_s - view.wall_clock_s, expectation.basis


def _kept_step(view: StageView) -> int:
    """The step that the stage goes on from."""
    if view.state is StageState.RUNNING and view.is_stepping:
        return view.step or 0
    return view.checkpoint.step if view.checkpoint else 0
