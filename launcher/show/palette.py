"""Colours that can be read on black and on white: their contrast to both is about the same.

They are numbers of the 256-colour table, which terminals do not repaint as they do the first 16.
"""

from typing import Final

from db.states import RunState, StageState

GOOD: Final = "color(28)"
MOVING: Final = "color(31)"
CAUTION: Final = "color(130)"
BAD: Final = "color(160)"
FAINT: Final = "color(243)"

OF_STAGE: Final = {
    StageState.RUNNING: MOVING,
    StageState.DONE: GOOD,
    StageState.REUSED: GOOD,
    StageState.INTERRUPTED: CAUTION,
    StageState.HELD: CAUTION,
    StageState.FAILED: BAD,
    StageState.CANCELLED: BAD,
}
OF_RUN: Final = {
    RunState.RUNNING: MOVING,
    RunState.DONE: GOOD,
    RunState.HELD: CAUTION,
    RunState.FAILED: BAD,
    RunState.CANCELLED: BAD,
}


def tinted(text: str, colour: str | None) -> str:
    """`text`, which is rich's markup, in a colour."""
    return f"[{colour}]{text}[/]" if colour else text
