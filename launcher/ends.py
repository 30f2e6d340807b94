"""Whether anything can still happen to a run. Pure."""

from collections.abc import Sequence

from db.schema import StageRun
from db.states import DONE_STATES, StageState
from launcher.reconcile.observe import open_submission

_GAVE_UP = (StageState.FAILED, StageState.CANCELLED, StageState.HELD)


def is_done(stages: Sequence[StageRun]) -> bool:
    """Whether every stage is done."""
    return all(row.state in DONE_STATES for row in stages)


def is_winding_down(row: StageRun) -> bool:
    """Whether a stage has ended by its files, and its job is still leaving."""
    ended = row.state in (*DONE_STATES, StageState.FAILED, StageState.CANCELLED)
    return ended and open_submission(row) is not None


def nothing_can_happen(stages: Sequence[StageRun]) -> bool:
    """Whether all has ended that does not wait for something that failed."""
    dead: set[str] = set()
    for row in stages:
        if is_winding_down(row):
            return False
        if row.state in _GAVE_UP or dead.intersection(row.needs):
            dead.add(row.stage)
        elif row.state not in DONE_STATES:
            return False
    return True
