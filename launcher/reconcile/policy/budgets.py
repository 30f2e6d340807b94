"""Keeps what does not move from burning the cluster; what moves is never given up. Pure."""

from collections.abc import Callable, Sequence

from db.states import StageState
from launcher.reconcile.policy.decision import Action, Decision, fail, hold, later, nothing
from launcher.reconcile.policy.situation import Past, Situation

STORM_S = 1800.0
BACK_OFF_S = (60.0, 300.0, 1200.0)
KIND_LIMIT = 3
"""How often in a row an attempt may end in the same way that the nodes are to blame for."""
_RESUME = "then: launcher resume"
_NEVER_BEGAN = ("parents-not-done", "launch-failed")
"""Rules about attempts that had their nodes and did nothing with them."""


def checked(s: Situation, wanted: Decision) -> Decision:
    """The decision to submit again, or what stands against it."""
    if wanted.action is not Action.RESUBMIT:
        return wanted
    against = _forbidden(s, wanted) or limit_reached(s) or no_progress(s)
    if against is not None:
        return against
    if s.intent == "hold":
        return hold("held-by-launcher", "held by `launcher hold`; launcher resume lets it go on")
    if not s.can_be_submitted:
        missing = ", ".join(parent.stage for parent in s.parents if not parent.done)
        return nothing("waits-for-parents", f"waits for {missing}", StageState.WAITING)
    return storm(s, wanted)


def _forbidden(s: Situation, wanted: Decision) -> Decision | None:
    began = s.end is not None and s.end.started and wanted.rule not in _NEVER_BEGAN
    if not s.resumable and began:
        return fail(
            "not-resumable", "it was interrupted, and `resumable: false` says it cannot continue"
        )
    if s.all_damaged:
        return hold(
            "checkpoints-damaged",
            "not one of its checkpoints is whole; starting over would lose them: look at "
            f"`launcher checkpoints`, remove what is damaged, {_RESUME}",
        )
    return None


def limit_reached(s: Situation) -> Decision | None:
    """What the run as a whole may use is used up."""
    if s.deadline_at is not None and s.now >= s.deadline_at:
        return hold(
            "deadline",
            "the run's deadline (requeue.deadline) has passed: submit it again with a later one",
        )
    if s.max_gpu_hours is not None and s.gpu_hours >= s.max_gpu_hours:
        return hold(
            "gpu-hours",
            f"the run has used {s.gpu_hours:.1f} of {s.max_gpu_hours:.1f} GPU-hours "
            "(requeue.max_gpu_hours): submit it again with more",
        )
    return None


def no_progress(s: Situation) -> Decision | None:
    """Attempts in a row, whatever ended them, that left no newer checkpoint.

    Of a stage that saves none only failures of its own count: what a program such as
    `jobs.data.prepare` has done, and goes on from, only the program knows.
    """
    if not s.saves:
        return _fails_in_vain(s)
    in_vain = _trailing(s.past, lambda past: past.progress <= 0)
    if in_vain < s.budgets.no_progress:
        return None
    causes = ", ".join(past.kind or "unknown" for past in s.past[-in_vain:])
    return hold(
        "no-progress",
        f"{in_vain} attempts in a row left no newer checkpoint ({causes}); find out why, {_RESUME}",
    )


def _fails_in_vain(s: Situation) -> Decision | None:
    failures = failures_in_a_row(s)
    if failures < s.budgets.no_progress:
        return None
    return hold(
        "no-progress",
        f"it failed {failures} times, and its output told of no step further than before; find "
        f"out why, {_RESUME}",
    )


def storm(s: Situation, wanted: Decision) -> Decision:
    """Many attempts within half an hour: the next one waits until that is over."""
    starts = [past.started_at for past in s.past if past.started_at is not None]
    recent = sorted(start for start in starts if start > s.now - STORM_S)
    if len(recent) < s.budgets.storm:
        return wanted
    why = f"{len(recent)} attempts within half an hour: it waits for the storm to pass"
    return later(wanted, recent[-s.budgets.storm] + STORM_S, why, storm=True)


def failures_in_a_row(s: Situation) -> int:
    """Attempts that failed by themselves since the last that moved the newest checkpoint."""
    count = 0
    for past in reversed(s.past):
        count += past.failed
        if past.progress > 0:
            break
    return count


def same_failures(s: Situation) -> int:
    """How often it has failed with the last error at the last step."""
    last = s.past[-1] if s.past else Past()
    if not last.failed or last.error is None or last.step is None:
        return 0
    return sum((p.error, p.step, p.failed) == (last.error, last.step, True) for p in s.past)


def ended_so_in_a_row(s: Situation, kind: str, *, in_vain: bool = False) -> int:
    """How many of the last attempts ended in this way; `in_vain`: without a newer checkpoint.

    Those count as well that never had nodes: an end that comes before them would be tried for ever.
    """
    count = 0
    for past in reversed(s.past):
        if past.kind == kind and not (in_vain and past.progress > 0):
            count += 1
        elif past.started_at is not None:
            break
    return count


def back_off(s: Situation, wanted: Decision, failures: int) -> Decision:
    """The decision, delayed the longer the more often it failed."""
    ended_at = min(s.end.at, s.now) if s.end is not None else s.now
    delay_s = BACK_OFF_S[min(failures, len(BACK_OFF_S)) - 1] if failures else 0.0
    if s.is_local or ended_at + delay_s <= s.now:
        return wanted
    return later(wanted, ended_at + delay_s, f"it is tried again after {delay_s / 60:.0f} min")


def _trailing(past: Sequence[Past], holds: Callable[[Past], bool]) -> int:
    """How many of the last attempts that had nodes are so, without a gap."""
    count = 0
    for each in reversed(past):
        if each.started_at is None:
            continue
        if not holds(each):
            break
        count += 1
    return count
