"""What passes leave behind: their own rows, quarantined nodes, and how far events were told.

Each takes a session of `Ledger.write` or `Ledger.read`; times are given by the caller.
"""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from db.schema import Cursor, Event, Pass, QuarantinedNode

_RECENT = 20
KEPT_S = 30 * 86400
"""How long the row of a pass is kept."""


def add_pass(session: Session, row: Pass) -> None:
    """Adds a pass, and forgets those of more than a month ago.

    A process that passes again and again with nothing to do (`watch`) has one row.
    """
    session.execute(delete(Pass).where(Pass.started_at < row.started_at - KEPT_S))
    last = last_pass(session)
    if last is not None and _tells_nothing_new(last, row):
        last.ended_at, last.queries = row.ended_at, row.queries
        return
    session.add(row)
    session.flush()


def _tells_nothing_new(last: Pass, row: Pass) -> bool:
    same = (last.host, last.pid, last.degraded) == (row.host, row.pid, row.degraded)
    return same and not last.did and not row.did


def last_pass(session: Session, *, good: bool = False) -> Pass | None:
    """The newest pass that has ended; of those only that Slurm answered, if asked so."""
    query = select(Pass).where(Pass.ended_at.is_not(None)).order_by(Pass.ended_at.desc())
    if good:
        query = query.where(Pass.degraded.is_(False))
    return session.scalars(query.limit(1)).first()


def usual_distance_s(session: Session) -> float | None:
    """The median time between the ends of the last good passes; None for fewer than three."""
    query = select(Pass.ended_at).where(Pass.ended_at.is_not(None), Pass.degraded.is_(False))
    ends = [at for at in session.scalars(query.order_by(Pass.ended_at.desc()).limit(_RECENT)) if at]
    if len(ends) < 3:  # noqa: PLR2004 - of one distance nobody knows whether it is usual
        return None
    return median(later - earlier for later, earlier in pairwise(ends))


def quarantine(
    session: Session,
    cluster: str,
    node: str,
    *,
    reason: str,
    evidence: str,
    at: float,
    until: float,
) -> QuarantinedNode:
    """Keeps jobs away from a node for a while; again prolongs it."""
    for known in quarantined(session, cluster, at):
        if known.node == node:
            known.until = max(known.until, until)
            return known
    row = QuarantinedNode(
        cluster=cluster, node=node, reason=reason, evidence=evidence, since=at, until=until
    )
    session.add(row)
    session.flush()
    return row


def quarantined(session: Session, cluster: str | None, at: float) -> Sequence[QuarantinedNode]:
    """The nodes to keep away from at this time, oldest first; of one cluster or of all."""
    query = select(QuarantinedNode).where(QuarantinedNode.until > at).order_by(QuarantinedNode.id)
    if cluster is not None:
        query = query.where(QuarantinedNode.cluster == cluster)
    return session.scalars(query).all()


def clear_node(session: Session, node: str, *, at: float) -> int:
    """Ends the quarantine of a node; says how many rows that ended."""
    rows = [row for row in quarantined(session, None, at) if row.node == node]
    for row in rows:
        row.until = at
    return len(rows)


def untold_events(session: Session, reader: str, kinds: Sequence[str]) -> Sequence[Event]:
    """Events of these kinds that a reader has not been told, oldest first."""
    query = select(Event).where(Event.id > _cursor(session, reader).value, Event.kind.in_(kinds))
    return session.scalars(query.order_by(Event.id)).all()


def told(session: Session, reader: str, event_id: int) -> None:
    """Records that a reader has been told everything up to this event."""
    cursor = _cursor(session, reader)
    cursor.value = max(cursor.value, event_id)


def _cursor(session: Session, reader: str) -> Cursor:
    cursor = session.get(Cursor, reader)
    if cursor is None:
        cursor = Cursor(name=reader, value=0)
        session.add(cursor)
        session.flush()
    return cursor
