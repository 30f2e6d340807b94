"""What `launcher metrics` reads: plain columns of the runs that matter now, in few queries.

No rows of the ORM and no JSON columns: a pass of cron's asks this every few minutes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.schema import Attempt, Checkpoint, Pass, Run, StageRun
from db.states import RunState, StageState

GOING_ON = (RunState.SUBMITTING, RunState.RUNNING, RunState.HELD)
"""Runs that have not come to an end."""


@dataclass(frozen=True)
class RunTotals:
    """A run.

    Attributes:
        id: Its id.
        pipeline: Name of its pipeline.
        user: Who submitted it.
        created_at: Unix seconds.
    """

    id: str
    pipeline: str
    user: str
    created_at: float


@dataclass(frozen=True)
class StageTotals:
    """A stage run.

    Attributes:
        id: Its number in the ledger.
        run: The run's id.
        stage: Its name.
        state: What it is.
        total_steps: Optimizer steps in all; None: not known.
    """

    id: int
    run: str
    stage: str
    state: StageState
    total_steps: int | None


@dataclass(frozen=True)
class AttemptTotals:
    """An attempt; the columns of the ledger that have these names."""

    stage_run_id: int
    cause: str | None
    exit_kind: str | None
    started_at: float | None
    ended_at: float | None
    wall_clock_s: float | None
    queued_s: float | None
    gpu_s: float | None
    first_step: int | None
    last_step: int | None
    steps_gained: int | None
    steps_lost: int | None
    num_nodes: int | None
    loss: float | None
    step_s: float | None
    work_s: float | None


@dataclass(frozen=True)
class CheckpointTotals:
    """A checkpoint; the columns of the ledger that have these names."""

    stage_run_id: int
    step: int
    final: bool
    bytes: int
    created_at: float


def runs_by_state(session: Session) -> dict[RunState, int]:
    """How many runs there are in each state; 0 where there is none."""
    found = session.execute(select(Run.state, func.count()).group_by(Run.state)).all()
    return dict.fromkeys(RunState, 0) | {row[0]: row[1] for row in found}


def runs_that_matter(session: Session, *, since: float) -> list[RunTotals]:
    """The runs that go on, newest first; then those that something happened to after `since`."""
    happened = select(StageRun.run_id).where(StageRun.updated_at > since)
    newest = (Run.created_at.desc(), Run.id.desc())
    columns = select(Run.id, Run.name, Run.submitted_by, Run.created_at).order_by(*newest)
    goes_on = Run.state.in_(GOING_ON)
    rows = [
        *session.execute(columns.where(goes_on)),
        *session.execute(columns.where(~goes_on, Run.id.in_(happened))),
    ]
    return [RunTotals(*row) for row in rows]


def stages_in(session: Session, runs: Sequence[str]) -> list[StageTotals]:
    """The stage runs of these runs, in order; at most some hundred runs."""
    query = (
        select(StageRun.id, StageRun.run_id, StageRun.stage, StageRun.state, StageRun.total_steps)
        .where(StageRun.run_id.in_(runs))
        .order_by(StageRun.run_id, StageRun.position)
    )
    return [StageTotals(*row) for row in session.execute(query)]


def attempts_in(session: Session, runs: Sequence[str]) -> list[AttemptTotals]:
    """The attempts of these runs, oldest first within a stage run."""
    columns = [getattr(Attempt, name) for name in AttemptTotals.__dataclass_fields__]
    query = (
        select(*columns)
        .join(StageRun, StageRun.id == Attempt.stage_run_id)
        .where(StageRun.run_id.in_(runs))
        .order_by(Attempt.stage_run_id, Attempt.submission_id, Attempt.restart)
    )
    return [AttemptTotals(*row) for row in session.execute(query)]


def checkpoints_in(session: Session, runs: Sequence[str]) -> list[CheckpointTotals]:
    """The checkpoints of these runs."""
    columns = [getattr(Checkpoint, name) for name in CheckpointTotals.__dataclass_fields__]
    query = (
        select(*columns)
        .join(StageRun, StageRun.id == Checkpoint.stage_run_id)
        .where(StageRun.run_id.in_(runs))
    )
    return [CheckpointTotals(*row) for row in session.execute(query)]


def passes_since(session: Session, since: float) -> tuple[int, int]:
    """How many passes ended after `since`, Unix seconds: good ones, and degraded ones."""
    query = select(Pass.degraded, func.count()).where(Pass.ended_at > since).group_by(Pass.degraded)
    counted = {row[0]: row[1] for row in session.execute(query)}
    return counted.get(False, 0), counted.get(True, 0)
