"""What a decision is."""

from dataclasses import dataclass, replace
from enum import StrEnum

from db.states import StageState


class Action(StrEnum):
    """What is to be done. The first four only change the ledger."""

    NOTHING = "nothing"
    DONE = "done"
    FAIL = "fail"
    HOLD = "hold"  # a job that waits in the queue is held there as well
    CANCEL = "cancel"  # a job that is still there is ended
    SUBMIT = "submit"  # the newest submission, for the first time
    RESUBMIT = "resubmit"  # a new submission, hence a new Slurm id
    RELEASE = "release"
    REWIRE = "rewire"  # the job's dependency
    WITHDRAW = "withdraw"  # end the job, keep the stage waiting for its parents
    STOP_HUNG = "stop hung job"
    STOP = "stop"  # let the job save and come back


RECORDED_ONLY = (Action.NOTHING, Action.DONE, Action.FAIL)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What is to be done about a stage run, and why.

    Attributes:
        rule: Id of the rule; stable, so that decisions can be counted and looked up.
        action: What to do.
        sentence: The reason, for people.
        state: The stage run's state by this; None: as it is.
        cause: Why the last attempt ended, in a word; None: as Slurm says.
        avoid: Nodes that the next attempt should keep away from.
        rewind: Continue from the checkpoint before the newest one.
        not_before: When to act, Unix seconds; None: now.
        depends_on: For REWIRE: Slurm ids to wait for.
        storm: It is put off because too much happened in too little time.
    """

    rule: str
    action: Action
    sentence: str
    state: StageState | None = None
    cause: str | None = None
    avoid: tuple[str, ...] = ()
    rewind: bool = False
    not_before: float | None = None
    depends_on: tuple[str, ...] = ()
    storm: bool = False

    @property
    def acts(self) -> bool:
        """Whether something has to be done outside the ledger."""
        return self.action not in RECORDED_ONLY


def nothing(rule: str, sentence: str, state: StageState | None = None) -> Decision:
    """Waits."""
    return Decision(rule=rule, action=Action.NOTHING, sentence=sentence, state=state)


def hold(rule: str, sentence: str) -> Decision:
    """Stops until somebody says `launcher resume`."""
    return Decision(rule=rule, action=Action.HOLD, sentence=sentence, state=StageState.HELD)


def fail(rule: str, sentence: str) -> Decision:
    """Gives up."""
    return Decision(rule=rule, action=Action.FAIL, sentence=sentence, state=StageState.FAILED)


def cancelled(rule: str, sentence: str) -> Decision:
    """Ends for good because somebody wanted it."""
    return Decision(rule=rule, action=Action.CANCEL, sentence=sentence, state=StageState.CANCELLED)


def resubmit(rule: str, sentence: str, *, avoid: str = "", rewind: bool = False) -> Decision:
    """Hands the stage over again."""
    return Decision(
        rule=rule,
        action=Action.RESUBMIT,
        sentence=sentence,
        state=StageState.INTERRUPTED,
        avoid=(avoid,) if avoid else (),
        rewind=rewind,
    )


def later(decision: Decision, at: float, why: str, *, storm: bool = False) -> Decision:
    """The same decision, to be carried out at a later time."""
    at = max(at, decision.not_before or at)
    sentence = f"{decision.sentence}; {why}"
    return replace(decision, not_before=at, sentence=sentence, storm=storm)
