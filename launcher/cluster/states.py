"""Slurm's words for what a job is, and what we make of them. No other module spells them.

Source: "JOB STATE CODES" and "JOB REASON CODES" of squeue(1) and sacct(1), 22.05 to 26.11.
A word that is not here is `UNKNOWN`: it waits, and says so.
"""

from enum import StrEnum


class Meaning(StrEnum):
    """What a job, or one attempt of it, is to us."""

    WAITING = "waiting"  # for its parents
    PENDING = "pending"
    HELD = "held"  # until somebody releases it
    RUNNING = "running"
    REQUEUED = "requeued"  # this attempt has ended, the same job starts again
    COMPLETED = "completed"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    CANCELLED = "cancelled"
    GONE = "gone"  # its processes have ended; how, only its event file can say
    UNKNOWN = "unknown"


class Ending(StrEnum):
    """How an attempt ended, by Slurm's word alone."""

    COMPLETED = "completed"
    PREEMPTED = "preemption"
    TIME_LIMIT = "time limit"
    NODE_FAILURE = "node failure"
    LAUNCH_FAILURE = "launch failure"
    OUT_OF_MEMORY = "out of memory"
    DEADLINE = "deadline"
    REVOKED = "revocation"
    CANCELLED = "cancelled"
    FAILED = "failure"
    REQUEUED = "requeue"
    GONE = "killed"


WORD_OF_RUNNING = "RUNNING"
WORD_OF_REQUEUED = "REQUEUED"
WORD_OF_ENDING = "COMPLETING"
WORD_OF_GONE = "GONE"
"""Not Slurm's: what the local cluster says of a job whose processes have ended."""

WORDS = {
    "PENDING": Meaning.PENDING,
    "CONFIGURING": Meaning.PENDING,
    "REQUEUE_FED": Meaning.PENDING,
    "REQUEUE_HOLD": Meaning.HELD,
    "RESV_DEL_HOLD": Meaning.HELD,
    "SPECIAL_EXIT": Meaning.HELD,
    "RUNNING": Meaning.RUNNING,
    WORD_OF_ENDING: Meaning.RUNNING,
    "EXPEDITING": Meaning.RUNNING,
    "POWER_UP_NODE": Meaning.RUNNING,
    "RESIZING": Meaning.RUNNING,
    "SIGNALING": Meaning.RUNNING,
    "STAGE_OUT": Meaning.RUNNING,
    "STOPPED": Meaning.RUNNING,
    "SUSPENDED": Meaning.RUNNING,
    "UPDATE_DB": Meaning.RUNNING,
    "REQUEUED": Meaning.REQUEUED,
    "COMPLETED": Meaning.COMPLETED,
    "PREEMPTED": Meaning.INTERRUPTED,
    "TIMEOUT": Meaning.INTERRUPTED,
    "NODE_FAIL": Meaning.INTERRUPTED,
    "BOOT_FAIL": Meaning.INTERRUPTED,
    "REVOKED": Meaning.INTERRUPTED,
    "FAILED": Meaning.FAILED,
    "OUT_OF_MEMORY": Meaning.FAILED,
    "DEADLINE": Meaning.FAILED,
    "LAUNCH_FAILED": Meaning.FAILED,
    "RECONFIG_FAIL": Meaning.FAILED,
    "CANCELLED": Meaning.CANCELLED,
    WORD_OF_GONE: Meaning.GONE,
}

_ENDINGS = {
    "BOOT_FAIL": Ending.LAUNCH_FAILURE,
    "CANCELLED": Ending.CANCELLED,
    "COMPLETED": Ending.COMPLETED,
    "DEADLINE": Ending.DEADLINE,
    "FAILED": Ending.FAILED,
    "LAUNCH_FAILED": Ending.LAUNCH_FAILURE,
    "NODE_FAIL": Ending.NODE_FAILURE,
    "OUT_OF_MEMORY": Ending.OUT_OF_MEMORY,
    "PREEMPTED": Ending.PREEMPTED,
    "RECONFIG_FAIL": Ending.LAUNCH_FAILURE,
    "REQUEUED": Ending.REQUEUED,
    "REVOKED": Ending.REVOKED,
    "TIMEOUT": Ending.TIME_LIMIT,
    WORD_OF_GONE: Ending.GONE,
}

_WAITING_REASONS = ("Dependency",)
_NEVER_SATISFIED = "DependencyNeverSatisfied"
_LAUNCH_HOLD = "launch failed requeued held"
_HOLDING_REASONS = ("JobHeldUser", "JobHeldAdmin", _LAUNCH_HOLD)
_LIVE = (Meaning.WAITING, Meaning.PENDING, Meaning.HELD, Meaning.RUNNING, Meaning.REQUEUED)


def split_word(text: str) -> tuple[str, str]:
    """The state word, and who cancelled: `CANCELLED by 1000` is `("CANCELLED", "1000")`."""
    word, _, by = text.strip().partition(" by ")
    return word.removesuffix("+"), by.strip()


def meaning(word: str, reason: str = "") -> Meaning:
    """What Slurm's state word means, with the reason that a pending job gives.

    Args:
        word: As squeue and sacct print it, `by <uid>` and `+` included.
        reason: Slurm's reason, with underscores or spaces.
    """
    known = WORDS.get(split_word(word)[0], Meaning.UNKNOWN)
    if known is not Meaning.PENDING:
        return known
    if reason.startswith(_WAITING_REASONS):
        return Meaning.WAITING
    if reason.replace("_", " ").startswith(_HOLDING_REASONS):
        return Meaning.HELD
    return known


def ending(word: str) -> Ending | None:
    """How an attempt with this last word ended; None where the word is no end, or not known."""
    return _ENDINGS.get(split_word(word)[0])


def cause_of(word: str) -> str:
    """Why an attempt with this last word ended, for people; empty where the word is no reason."""
    known = ending(word)
    return "" if known in (None, Ending.COMPLETED) else str(known)


def is_never_satisfied(reason: str) -> bool:
    """Whether a job waits for parents that can never succeed any more."""
    return reason.startswith(_NEVER_SATISFIED)


def is_held_after_launch(reason: str) -> bool:
    """Whether Slurm itself held a job because it could not be started."""
    return reason.replace("_", " ").startswith(_LAUNCH_HOLD)


def is_live_in_queue(word: str) -> bool:
    """Whether a job that squeue shows with this word can still run.

    An unknown word counts as live: nothing is done about such a job.
    """
    known = meaning(word)
    return known in _LIVE or known is Meaning.UNKNOWN
