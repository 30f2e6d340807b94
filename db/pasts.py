"""What the ledger remembers of a stage from earlier runs of its pipeline."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, selectinload

from db.schema import Attempt, Checkpoint, Run, StageRun
from db.states import StageKind

_RUNS = 5
"""The newest that got nodes at all: old ones ran other code on other data."""
_SAVES = 5


@dataclass(frozen=True)
class PastStage:
    """A stage in earlier runs.

    Attributes:
        stage_runs: The newest first, each with its run and its attempts.
        checkpoints: The newest of them, over all these runs, the newest first.
    """

    stage_runs: Sequence[StageRun] = ()
    checkpoints: Sequence[Checkpoint] = ()


def past_of(session: Session, pipeline: str, stage: str) -> PastStage:
    """The earlier runs of a stage of a pipeline of this name: three small queries."""
    rows = session.scalars(
        select(StageRun)
        .join(StageRun.run)
        .where(
            Run.name == pipeline,
            StageRun.stage == stage,
            StageRun.kind != StageKind.REUSE,
            StageRun.attempts.any(Attempt.started_at.is_not(None)),
        )
        .order_by(Run.created_at.desc(), Run.id.desc())
        .limit(_RUNS)
        .options(joinedload(StageRun.run), selectinload(StageRun.attempts))
    ).all()
    saves = session.scalars(
        select(Checkpoint)
        .where(Checkpoint.stage_run_id.in_([row.id for row in rows]))
        .order_by(Checkpoint.created_at.desc(), Checkpoint.id.desc())
        .limit(_SAVES)
    ).all()
    return PastStage(rows, saves)
