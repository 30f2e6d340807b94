"""Attempts that ended in the last weeks, whatever their run."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.schema import Attempt, StageRun, Submission

_LIMIT = 500
"""Enough to know a rate by, and read in milliseconds."""


@dataclass(frozen=True)
class Ending:
    """An attempt that is over.

    Attributes:
        attempt: The attempt.
        nodes: Nodes that its stage asks for.
        spec: What its submission asked for.
    """

    attempt: Attempt
    nodes: int
    spec: dict[str, object]


def endings(session: Session, cluster: str, *, since: float) -> Sequence[Ending]:
    """The newest attempts on a cluster that ended after `since`, Unix seconds."""
    query = (
        select(Attempt, StageRun.nodes, Submission.spec)
        .join(StageRun, StageRun.id == Attempt.stage_run_id)
        .join(Submission, Submission.id == Attempt.submission_id)
        .where(Attempt.cluster == cluster, Attempt.ended_at > since)
        .order_by(Attempt.ended_at.desc(), Attempt.id.desc())
        .limit(_LIMIT)
    )
    return [Ending(*row) for row in session.execute(query)]
