"""What steps and saves of a stage took in earlier runs."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.schema import Attempt, Checkpoint, Run, StageRun

_SAVES = 5
"""The newest ones are looked at; the longest of them counts."""


@dataclass(frozen=True)
class Timing:
    """What a stage's work took, in seconds; None: it has never told.

    Attributes:
        step_s: The last step of the newest attempt that told of one.
        save_s: The longest of the newest saves.
    """

    step_s: float | None = None
    save_s: float | None = None


def timing_of(session: Session, pipeline: str, stage: str) -> Timing:
    """What a stage of a pipeline of this name took, in whichever run."""
    stages = (
        select(StageRun.id).join(StageRun.run).where(Run.name == pipeline, StageRun.stage == stage)
    )
    steps = (
        select(Attempt.step_s)
        .where(Attempt.stage_run_id.in_(stages), Attempt.step_s.is_not(None))
        .order_by(Attempt.id.desc())
        .limit(1)
    )
    saves = (
        select(Checkpoint.save_s)
        .where(Checkpoint.stage_run_id.in_(stages))
        .order_by(Checkpoint.id.desc())
        .limit(_SAVES)
    )
    return Timing(session.scalars(steps).first(), max(session.scalars(saves), default=None))
