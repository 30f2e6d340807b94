"""Everything that the report tells of a run, read from its ledger and its event files.

A reader keeps a ledger on a network file system locked against writers, so files are read after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from db.decisions import Decided, RuleCount, decisions_of, rules_of
from db.ledger import Ledger
from db.queries import stages_of
from db.schema import Attempt, Run, StageRun
from jobs.contract.events import Event
from launcher.accounting.account import Account, Read, account_for
from launcher.accounting.attempt import AttemptSpent
from launcher.report.curves import Curve, Point, curves_of, points_of
from launcher.report.price import Price

DECISIONS_SHOWN = 300
"""The newest; how often each rule applied is told of all."""

Metrics = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Story:
    """A run.

    Attributes:
        run: The run.
        stages: Its stage runs with submissions, attempts and checkpoints.
        account: Where its time went.
        curves: Of each stage that tells of steps.
        metrics: What evaluations measured, by stage.
        rules: How often each rule led to something.
        decisions: The newest of what they led to.
        now: When it was read, Unix seconds.
        price: Of a GPU-hour; None: not asked for.
    """

    run: Run
    stages: Sequence[StageRun]
    account: Account
    curves: Mapping[str, Sequence[Curve]]
    metrics: Metrics
    rules: Sequence[RuleCount]
    decisions: Sequence[Decided]
    now: float
    price: Price | None = None

    @cached_property
    def has_gpus(self) -> bool:
        """Whether there is GPU time to account for; otherwise it is about wall-clock time."""
        return self.account.gpu_spent.allocated > 0

    @property
    def attempts(self) -> list[Attempt]:
        """Of all stages, those that only wait included, oldest first."""
        return [attempt for stage in self.stages for attempt in stage.attempts]


@dataclass
class _Heard:
    """What is kept of the event files; they are read once, one after another."""

    points: dict[int, dict[str, list[Point]]] = field(default_factory=dict)
    metrics: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def listening(self, read: Read) -> Read:
        """Reads like `read`, and keeps what the report needs."""

        def heard(row: StageRun, attempt: Attempt) -> Sequence[Event]:
            events = read(row, attempt)
            self.points[attempt.id] = points_of(events)
            told = [event.fields for event in events if event.kind == "metric"]
            if told and row.stage not in self.metrics:  # the last attempt is read first
                self.metrics[row.stage] = told
            return events

        return heard


def read_story(
    ledger: Ledger,
    run_id: str,
    read: Read,
    *,
    now: float,
    price: Price | None = None,
) -> Story:
    """Reads the story of a run.

    Args:
        ledger: That knows it.
        run_id: The run, which has stages.
        read: Gives the events of an attempt.
        now: Until when attempts count that still run, Unix seconds.
        price: Of a GPU-hour.
    """
    with ledger.read() as session:
        stages = stages_of(session, run_id)
        rules = rules_of(session, run_id)
        decisions = decisions_of(session, run_id, last=DECISIONS_SHOWN)
    heard = _Heard()
    account = account_for(stages, heard.listening(read), now=now)
    curves = {
        stage.stage: found
        for stage in account.stages
        if (found := curves_of([_of_attempt(each, heard.points) for each in stage.attempts]))
    }
    return Story(
        run=stages[0].run,
        stages=stages,
        account=account,
        curves=curves,
        metrics={
            row.stage: heard.metrics[row.stage] for row in stages if row.stage in heard.metrics
        },
        rules=rules,
        decisions=decisions,
        now=now,
        price=price,
    )


def _of_attempt(
    each: AttemptSpent, points: Mapping[int, Mapping[str, Sequence[Point]]]
) -> tuple[Mapping[str, Sequence[Point]], int | None]:
    kept_until = None
    if each.lost_steps and each.to_step is not None:
        kept_until = each.to_step - each.lost_steps
    return points.get(each.attempt.id, {}), kept_until
