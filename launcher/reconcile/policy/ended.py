"""Decides about a job that is gone: one rule after another, the first that knows it decides."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from jobs.contract.exits import REFUSED
from launcher.cluster.states import Ending
from launcher.reconcile.policy import budgets
from launcher.reconcile.policy.decision import (
    Decision,
    cancelled,
    fail,
    hold,
    nothing,
    resubmit,
)
from launcher.reconcile.policy.situation import End, Situation

SETTLING_S = 300.0
EARLY_S = 120.0
_RESUME = "then: launcher resume"


def decide_ended(s: Situation, end: End) -> Decision:
    """The decision about an attempt that has ended without a valid final checkpoint."""
    for rule in _RULES:
        decision = rule(s, end)
        if decision is not None:
            return decision
    return _settling(s)


def _settling(s: Situation) -> Decision:
    if s.unseen_s < SETTLING_S:
        return nothing("settling", "how it ended is not known yet")
    return resubmit("lost", "its job is gone, and nobody says how it ended")


def _by_the_parents(_: Situation, end: End) -> Decision | None:
    if end.outcome == "refused" and end.fault == "parents":
        return resubmit("parents-not-done", "it started before its parents were done, and refused")
    return None


def _hang(s: Situation, end: End) -> Decision | None:
    if s.intent != "hang":
        return None
    if budgets.ended_so_in_a_row(s, "hang", in_vain=True) > budgets.KIND_LIMIT:
        return hold("hang-again", f"it hung again and again, and left nothing new; {_RESUME}")
    decision = resubmit("hang", "it hung and was ended", avoid=end.host)
    return replace(decision, cause="hang")


def _cancelled(s: Situation, end: End) -> Decision | None:
    if end.ending is not Ending.CANCELLED:
        return None
    if end.by == "slurm" and not end.started and not s.intent:
        # Measured on 22.05: accounting names no user where a dependency ended a job.
        return resubmit(
            "dependency-cancelled", "it was cancelled because a parent had not succeeded"
        )
    if end.by in ("other", "slurm"):
        who = "another user" if end.by == "other" else "Slurm, which names no user"
        return hold("cancelled-by-other", f"cancelled by {who}; ask why, {_RESUME}")
    if end.by == "unknown" and s.unseen_s < SETTLING_S:
        return nothing("who-cancelled", "cancelled; by whom, accounting has not said yet")
    return cancelled("cancelled-by-user", "cancelled by its user")


def _stopped(s: Situation, end: End) -> Decision | None:
    """Why it was told to stop, Slurm knows: a user's cancel must not be undone."""
    if end.outcome != "stopped":
        return None
    if end.ending is None and s.accounting and s.unseen_s < SETTLING_S:
        return nothing("who-stopped", "it saved and stopped; why, accounting has not said yet")
    if end.ending is None and end.ended_by_others:
        return hold(
            "who-stopped",
            f"somebody was ending it when it saved, and nobody says who: look, {_RESUME}",
        )
    return resubmit("stopped", "it saved and stopped when it was told to")


def _deadline(_: Situation, end: End) -> Decision | None:
    if end.ending is Ending.DEADLINE:
        return hold(
            "slurm-deadline",
            f"Slurm's deadline for the job has passed; give it a new one, {_RESUME}",
        )
    return None


def _unfinished(s: Situation, end: End) -> Decision | None:
    """It ended well in its own or in Slurm's eyes, and its result is not there."""
    if end.outcome != "done" and (end.outcome or end.ending is not Ending.COMPLETED):
        return None
    if not s.parents_done:
        return hold(
            "integrity", f"it ended well although its parents are not done: look at it, {_RESUME}"
        )
    if end.progress > 0:
        return resubmit("completed-unfinished", "it ended well before it was done")
    return _again_or_fail(
        s, "completed-without-result", "it ended well, but has no valid final checkpoint"
    )


def _out_of_memory(s: Situation, end: End) -> Decision | None:
    if end.ending is not Ending.OUT_OF_MEMORY and end.fault != "out_of_memory":
        return None
    said = end.message or f"it was given {end.memory or 'the default of the partition'}"
    if end.progress <= 0:
        return fail("out-of-memory", f"out of memory before any new checkpoint: {said}")
    if budgets.ended_so_in_a_row(s, str(Ending.OUT_OF_MEMORY)) > budgets.KIND_LIMIT:
        return fail("out-of-memory", f"out of memory again and again: {said}")
    return resubmit("out-of-memory-again", f"out of memory, but it moves: {said}")


def _refused(_: Situation, end: End) -> Decision | None:
    if end.fault == "checkpoints":
        said = end.message or "none of its checkpoints is whole"
        return hold("checkpoints-damaged", f"{said}; {_RESUME}")
    if end.fault == "fenced":
        return resubmit("fenced", "a newer submission had taken over, and is not there")
    # A full disk may keep it from telling why.
    if end.outcome == "refused" or (end.outcome is None and end.exit_code == REFUSED):
        return fail("refused", end.message or f"it refuses to run (exit {REFUSED})")
    if end.fault == "deterministic":
        return fail("deterministic", f"it would fail again: {end.message}")
    return None


def _preempted(_: Situation, end: End) -> Decision | None:
    if end.ending in (Ending.PREEMPTED, Ending.REVOKED):
        return resubmit("preempted", "preempted without a word from the job")
    return None


def _time_limit(s: Situation, end: End) -> Decision | None:
    if end.ending is not Ending.TIME_LIMIT:
        return None
    if end.progress > 0:
        return resubmit("time-limit", "its time limit came, and it had moved")
    if budgets.ended_so_in_a_row(s, str(Ending.TIME_LIMIT), in_vain=True) < 2:  # noqa: PLR2004
        return resubmit("time-limit-once-more", "its time limit came before any new checkpoint")
    ran = f"{(end.ran_s or 0.0) / 60:.0f} min"
    return hold(
        "slice-too-short",
        f"twice in a row {ran} were not enough for start-up plus one save: raise time_limit, or "
        f"save more often (checkpoint.every), {_RESUME}",
    )


def _nodes(s: Situation, end: End) -> Decision | None:
    if end.ending is Ending.NODE_FAILURE:
        return resubmit("node-failure", "a node failed", avoid=end.host)
    if end.ending is Ending.LAUNCH_FAILURE:
        if budgets.ended_so_in_a_row(s, str(Ending.LAUNCH_FAILURE)) > budgets.KIND_LIMIT:
            return hold("launch-failed-again", f"its nodes could not start it, again; {_RESUME}")
        return resubmit("launch-failed", "its nodes could not start it", avoid=end.host)
    if end.fault == "hardware":
        if budgets.ended_so_in_a_row(s, "hardware", in_vain=True) > budgets.KIND_LIMIT:
            return hold("hardware-again", f"hardware or network failed again: {end.message}")
        return resubmit("hardware", f"hardware or network failed: {end.message}", avoid=end.host)
    return None


def _killed(_: Situation, end: End) -> Decision | None:
    """On this machine: its processes are gone, and it has not said why."""
    if end.ending is not Ending.GONE or end.outcome is not None:
        return None
    if end.started:
        return resubmit("killed", "its processes ended without a word")
    return fail("died-early", "it ended before its first step")


def _failed(s: Situation, end: End) -> Decision | None:
    if end.outcome != "failed" and end.ending is not Ending.FAILED:
        return None
    what = end.message or f"exit code {end.exit_code}"
    if not end.stepped and end.ran_s is not None and end.ran_s < EARLY_S:
        return fail("died-early", f"it failed {end.ran_s:.0f} s after its start: {what}")
    same = budgets.same_failures(s)
    if same > 2:  # noqa: PLR2004
        return hold("same-failure", f"{same} times the same at step {end.step}: {what}; {_RESUME}")
    if same == 2 and s.checkpoints > 1:  # noqa: PLR2004
        return resubmit(
            "same-failure-rewind",
            f"twice the same at step {end.step}: once more from the checkpoint before ({what})",
            rewind=True,
        )
    return _again_or_fail(s, "failed", what)


def _again_or_fail(s: Situation, rule: str, what: str) -> Decision:
    """Tries a failure again, later each time, as often as the budget allows."""
    failures = max(1, budgets.failures_in_a_row(s))
    allowed = 0 if s.is_local else s.budgets.failures
    if failures > allowed:
        times = f"{failures} times without progress: " if failures > 1 else ""
        return fail(f"{rule}-for-good", f"{times}{what}")
    return budgets.back_off(s, resubmit(rule, what), failures)


_RULES: Final[tuple[Callable[[Situation, End], Decision | None], ...]] = (
    _by_the_parents,
    _hang,
    _cancelled,
    _stopped,
    _deadline,
    _unfinished,
    _out_of_memory,
    _refused,
    _preempted,
    _time_limit,
    _nodes,
    _killed,
    _failed,
)
