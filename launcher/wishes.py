"""What a person wants of stages, as far as it can be said without acting. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from db.schema import StageRun
from db.states import DONE_STATES, StageState
from launcher.cluster.states import Meaning
from launcher.errors import LauncherError
from launcher.reconcile.facts import StageFacts
from launcher.reconcile.policy import Handover
from launcher.reconcile.policy.decide import ANSWER_S

STOPPED = (StageState.HELD, StageState.FAILED, StageState.CANCELLED)
ENDING = ("cancel", "withdraw", "hang")
"""Intents by which a job was ended."""


@dataclass
class Steered:
    """What came of a wish.

    Attributes:
        said: What is true now, one line a stage.
        undone: What Slurm did not do; the next pass does it.
        refused: What Slurm did not do, and no pass will: to be asked for again.
    """

    said: list[str] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def check_resumable(facts: StageFacts) -> None:
    """Refuses where a job may exist that nobody has seen yet."""
    situation = facts.situation
    if situation.handover is Handover.SENT and situation.sent_s < ANSWER_S:
        raise LauncherError(
            f"stage {facts.stage.stage}: a job of it is on its way and has not been seen yet; "
            "try again in two minutes"
        )
    is_unseen = situation.queued is None and situation.end is None
    is_recent = situation.silent_s < 2 * situation.budgets.hang_s
    if (
        situation.intent == "hold"
        and situation.handover is Handover.JOB
        and is_unseen
        and is_recent
    ):
        raise LauncherError(
            f"stage {facts.stage.stage}: nobody knows its job at the moment, and it may still run; "
            "try again when `launcher why` says how it ended"
        )


def against_holding(facts: StageFacts) -> str:
    """Why a stage cannot be held; empty where it can."""
    queued, stage = facts.situation.queued, facts.stage
    if stage.state in (*DONE_STATES, StageState.FAILED, StageState.CANCELLED):
        return f"is {stage.state}; there is nothing to hold"
    if facts.submission is not None and facts.situation.intent in ENDING:
        return "has a job that is just being ended; try again in a few minutes"
    if queued is not None and queued.meaning is Meaning.RUNNING and not stage.resumable:
        return "runs and cannot go on later (resumable: false); launcher cancel ends it"
    return ""


def is_stopped(facts: StageFacts) -> bool:
    """Whether a stage goes on only when somebody wants it to."""
    queued = facts.situation.queued
    is_held = queued is not None and queued.meaning is Meaning.HELD
    return facts.stage.state in STOPPED or facts.situation.intent == "hold" or is_held


def intent_left(intent: str | None, *, stopped: bool, live: bool) -> str | None:
    """What is still meant by an intent when a stage is resumed.

    A job that is ending must not be taken for one that its user has just cancelled: it is
    withdrawn, and its stage waits for a new one.
    """
    if intent not in ENDING:
        return None
    if not stopped:
        return intent
    return "withdraw" if live else None


def with_children(rows: Sequence[StageRun], names: Iterable[str]) -> set[str]:
    """These stages and all that need them, directly or not; rows are in order."""
    found = set(names)
    for row in rows:
        if found.intersection(row.needs):
            found.add(row.stage)
    return found
