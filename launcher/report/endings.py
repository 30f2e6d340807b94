"""How attempts ended, in few kinds: an interruption is not the job's fault, a failure is. Pure."""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

from db.schema import Attempt
from launcher.cluster.states import Ending


class How(StrEnum):
    """How an attempt ended."""

    RUNNING = "runs"
    DONE = "ended well"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    CANCELLED = "cancelled"


_FAILURES = (Ending.FAILED, Ending.OUT_OF_MEMORY, Ending.DEADLINE, "refused")


def how_ended(attempt: Attempt) -> How:
    """How an attempt ended, by its cause in the ledger; none is a good end."""
    if attempt.ended_at is None:
        return How.RUNNING
    if attempt.exit_kind == "done" or attempt.cause is None:
        return How.DONE
    if attempt.cause == Ending.CANCELLED:
        return How.CANCELLED
    return How.FAILED if attempt.cause in _FAILURES else How.INTERRUPTED


def cause_of(attempt: Attempt) -> str:
    """The cause of an end that was not a good one; empty for others."""
    has_cause = how_ended(attempt) not in (How.RUNNING, How.DONE)
    return (attempt.cause or "") if has_cause else ""


def causes(attempts: Sequence[Attempt]) -> list[tuple[str, int]]:
    """How often each cause ended one of these, the most frequent first."""
    return Counter(cause for each in attempts if (cause := cause_of(each))).most_common()
