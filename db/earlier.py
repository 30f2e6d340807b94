"""What stages took in earlier runs of the same pipeline."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.schema import Attempt, Run, StageRun
from db.states import StageState

_RUNS = 20
"""So many of the newest runs are looked at."""


@dataclass(frozen=True)
class Earlier:
    """A stage run that came to its end.

    Attributes:
        stage: The stage's name.
        gpus: Nodes times GPUs that it asked for; nodes alone where it asked for no GPU.
        wall_s: Time with an allocation, over all of its attempts.
        pipeline_yaml: The frozen pipeline file of its run.
    """

    stage: str
    gpus: int
    wall_s: float
    pipeline_yaml: str


def earlier_stages(session: Session, pipeline: str, *, without: str) -> Sequence[Earlier]:
    """Done stage runs of the newest runs of a pipeline, newest first.

    Args:
        session: Of `Ledger.read`.
        pipeline: Its name.
        without: A run that does not count: the one that this is asked for.
    """
    newest = (
        select(Run.id)
        .where(Run.name == pipeline, Run.id != without)
        .order_by(Run.created_at.desc())
        .limit(_RUNS)
    )
    query = (
        select(
            StageRun.run_id,
            StageRun.stage,
            StageRun.nodes,
            StageRun.gpus_per_node,
            func.sum(Attempt.wall_clock_s).label("wall_s"),
        )
        .join(Attempt, Attempt.stage_run_id == StageRun.id)
        .join(Run, Run.id == StageRun.run_id)
        .where(StageRun.run_id.in_(newest), StageRun.state == StageState.DONE)
        .group_by(StageRun.id, Run.created_at)
        .order_by(Run.created_at.desc(), StageRun.id)
    )
    rows = [row for row in session.execute(query) if row.wall_s is not None]
    ids = {row.run_id for row in rows}
    files = select(Run.id, Run.pipeline_yaml).where(Run.id.in_(ids))
    texts = {row.id: row.pipeline_yaml for row in session.execute(files)}
    return [
        Earlier(row.stage, row.nodes * max(1, row.gpus_per_node), row.wall_s, texts[row.run_id])
        for row in rows
    ]
