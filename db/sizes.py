"""How large the checkpoints of a stage were in earlier runs."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.schema import Checkpoint, Run, StageRun

_RUNS = 20
"""The newest ones are looked at."""


@dataclass(frozen=True)
class Size:
    """Of one checkpoint of a stage, by the newest run that saved one.

    Attributes:
        bytes: The largest.
        files: The most.
        total_steps: Steps of the stage; None: it has never told.
    """

    bytes: int
    files: int
    total_steps: int | None


def sizes_of(session: Session, pipeline: str) -> dict[str, Size]:
    """By stage, for the stages of a pipeline of this name that have saved."""
    newest = select(Run.id).where(Run.name == pipeline).order_by(Run.created_at.desc()).limit(_RUNS)
    query = (
        select(
            StageRun.stage,
            func.max(Checkpoint.bytes),
            func.max(Checkpoint.files),
            func.max(StageRun.total_steps),
        )
        .join(Checkpoint, Checkpoint.stage_run_id == StageRun.id)
        .join(Run, Run.id == StageRun.run_id)
        .where(Run.id.in_(newest))
        .group_by(StageRun.id, StageRun.stage)
        .order_by(Run.created_at)
    )
    return {name: Size(size, files, steps) for name, size, files, steps in session.execute(query)}
