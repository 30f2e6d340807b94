"""Decides about all stages of a run, parents first: what a parent becomes, its children rest on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from db.states import StageState
from launcher.cluster.base import JobRow, NoAnswer
from launcher.reconcile import history
from launcher.reconcile.facts import StageFacts
from launcher.reconcile.policy import Decision, Parent, decide

_SUCCEEDING = (StageState.WAITING, StageState.PENDING, StageState.RUNNING, StageState.HELD)


@dataclass(frozen=True)
class Judged:
    """A stage run and what is to be done about it."""

    facts: StageFacts
    decision: Decision


@dataclass
class RunView:
    """What the stages of one run see of each other.

    Attributes:
        gpu_hours: The run has used.
        parents: The stages that were decided about, by name.
    """

    gpu_hours: float
    parents: dict[str, Parent] = field(default_factory=dict)

    @classmethod
    def of(cls, facts: Sequence[StageFacts]) -> "RunView":
        """The view of a run, from the facts about all of its stages."""
        attempts = [history.merged(each.stage.attempts, each.attempts) for each in facts]
        return cls(history.gpu_hours(attempt for each in attempts for attempt in each))

    def judge(self, facts: StageFacts) -> Judged:
        """Decides about a stage, whose parents have been decided about."""
        needs = [self.parents[name] for name in facts.stage.needs if name in self.parents]
        decision = decide(facts.among(needs, self.gpu_hours))
        state = decision.state or facts.stage.state
        # A job that is there can still succeed, unless it is about to be replaced or ended.
        lives = facts.situation.queued is not None and state in _SUCCEEDING
        self.became(facts, state, facts.slurm_id if lives else None)
        return Judged(facts, decision)

    def became(self, facts: StageFacts, state: StageState, slurm_id: str | None) -> None:
        """Takes note of what a stage is now."""
        self.parents[facts.stage.stage] = Parent(facts.stage.stage, state, slurm_id)


def judge_run(facts: Sequence[StageFacts]) -> list[Judged]:
    """Decides about every stage of one run, in order."""
    view = RunView.of(facts)
    return [view.judge(each) for each in facts]


def superseded_jobs(rows: Iterable[JobRow] | NoAnswer, known: Iterable[str]) -> list[JobRow]:
    """Live jobs in the queue that are not the job of any open submission.

    Args:
        rows: What the queue shows.
        known: Slurm ids of open submissions, and names of those that have none yet.
    """
    if isinstance(rows, NoAnswer):
        return []
    ours = set(known)
    return [row for row in rows if row.live and not ours.intersection((row.slurm_id, row.name))]
