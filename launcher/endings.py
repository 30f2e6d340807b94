"""How attempts ended, in few kinds: an interruption is not the job's fault, a failure is. Pure.

Report, metrics and the budgets of the pass go by this one answer. A good end is no proof of
a result: that is its final checkpoint.
"""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from launcher.cluster.states import Ending


class How(StrEnum):
    """How an attempt ended."""

    RUNNING = "runs"
    DONE = "ended well"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Ended(Protocol):
    """What the ledger knows of an attempt's end, in columns of these names."""

    @property
    def ended_at(self) -> float | None:
        """When, Unix seconds; None: it goes on."""

    @property
    def exit_kind(self) -> str | None:
        """Its last word: done, stopped, failed or refused; None: it had none."""

    @property
    def cause(self) -> str | None:
        """Why it ended; None: nobody knows, or it ended well."""


_FAILURES = (Ending.FAILED, Ending.OUT_OF_MEMORY, Ending.DEADLINE, "refused")
_ANYBODYS = (None, "", Ending.REQUEUED, Ending.GONE)
"""Causes that say nothing of whose fault it was; the last word does."""
_OWN_WORDS = ("failed", "refused")


def how_ended(attempt: Ended) -> How:
    """How an attempt ended: by its own word where that is a good one, else by its cause.

    A job whose node is lost may still say that it failed, and one that is killed for its memory
    says nothing.
    """
    if attempt.ended_at is None:
        return How.RUNNING
    if attempt.exit_kind == "done":
        return How.DONE
    if attempt.cause == Ending.CANCELLED:
        return How.CANCELLED
    is_own = attempt.cause in _ANYBODYS and attempt.exit_kind in _OWN_WORDS
    if is_own or attempt.cause in _FAILURES:
        return How.FAILED
    return How.INTERRUPTED if attempt.cause or attempt.exit_kind else How.DONE


def cause_of(attempt: Ended) -> str:
    """The cause of an end that was not a good one; empty for others."""
    has_cause = how_ended(attempt) not in (How.RUNNING, How.DONE)
    return (attempt.cause or "") if has_cause else ""


def causes(attempts: Sequence[Ended]) -> list[tuple[str, int]]:
    """How often each cause ended one of these, the most frequent first."""
    return Counter(cause for each in attempts if (cause := cause_of(each))).most_common()
