"""What was decided about a run, by the ids of the rules. Each takes a session of `Ledger.read`."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from db.schema import Event, StageRun


@dataclass(frozen=True)
class Decided:
    """One event that a rule led to.

    Attributes:
        at: Unix seconds.
        stage: The stage's name; None: it is about the run.
        rule: Id of the rule.
        text: What happened and why.
    """

    at: float
    stage: str | None
    rule: str
    text: str


@dataclass(frozen=True)
class RuleCount:
    """How often a rule led to something.

    Attributes:
        rule: Its id.
        count: How often.
        first_at: When first, Unix seconds.
        last_at: When last.
    """

    rule: str
    count: int
    first_at: float
    last_at: float


def decisions_of(session: Session, run_id: str, *, last: int) -> Sequence[Decided]:
    """The last decisions about a run, oldest first."""
    query = (
        select(Event.at, StageRun.stage, _rule(), Event.text)
        .outerjoin(StageRun, StageRun.id == Event.stage_run_id)
        .where(Event.run_id == run_id, _rule().is_not(None))
        .order_by(Event.id.desc())
        .limit(last)
    )
    return [Decided(*row) for row in session.execute(query)][::-1]


def rules_of(session: Session, run_id: str) -> Sequence[RuleCount]:
    """The rules that led to something in a run, the most frequent first."""
    # Named within: to PostgreSQL the same expression with parameters is another one each time.
    told = (
        select(_rule().label("rule"), Event.at)
        .where(Event.run_id == run_id, _rule().is_not(None))
        .subquery()
    )
    rule, at, count = told.c.rule, told.c.at, func.count()
    query = (
        select(rule, count, func.min(at), func.max(at)).group_by(rule).order_by(count.desc(), rule)
    )
    return [RuleCount(*row) for row in session.execute(query)]


def _rule() -> ColumnElement[str]:
    rule: ColumnElement[str] = Event.data["rule"].as_string()
    return rule
