"""Decides about a job that the queue shows: it can still do something, so hardly anything."""

from db.states import StageState
from launcher.cluster.states import Meaning
from launcher.reconcile.policy.budgets import limit_reached, no_progress
from launcher.reconcile.policy.decision import Action, Decision, cancelled, hold, nothing
from launcher.reconcile.policy.situation import Queued, Situation

_RESUME = "then: launcher resume"
_GAVE_UP = (StageState.FAILED, StageState.HELD, StageState.WAITING)


def decide_live(s: Situation, queued: Queued) -> Decision:
    """The decision about a job in the queue."""
    if queued.meaning is Meaning.UNKNOWN:
        return nothing(
            "unknown-word", f"Slurm says {queued.word}, which this launcher does not know"
        )
    if queued.meaning is Meaning.RUNNING:
        return _decide_running(s, queued)
    return _decide_queued(s, queued)


def _decide_running(s: Situation, queued: Queued) -> Decision:
    if s.intent == "hang" or _hangs(queued):
        still = f"no step for {queued.still_s or 0.0:.0f} s" if queued.still_s else "no step"
        return Decision(
            rule="hang",
            action=Action.STOP_HUNG,
            sentence=f"{still}, more than {queued.hang_after_s:.0f} s: it hangs",
            state=StageState.RUNNING,
        )
    if s.intent == "hold":
        return Decision(
            rule="held-by-launcher",
            action=Action.STOP,
            sentence="to be held by `launcher hold`; it saves, and is held then",
            state=StageState.RUNNING,
        )
    limit = limit_reached(s)
    if limit is not None:
        return Decision(
            rule=limit.rule,
            action=Action.STOP,
            sentence=f"{limit.sentence}; it saves and is held then",
            state=StageState.RUNNING,
        )
    return nothing("runs", "", StageState.RUNNING)


def _hangs(queued: Queued) -> bool:
    return queued.still_s is not None and queued.still_s >= queued.hang_after_s


def _decide_queued(s: Situation, queued: Queued) -> Decision:
    if any(parent.state is StageState.CANCELLED for parent in s.parents):
        return cancelled("parent-cancelled", "a stage that it needs was cancelled")
    if s.intent == "hold":
        return hold("held-by-launcher", "held by `launcher hold`; launcher resume lets it go on")
    spent = limit_reached(s) or (no_progress(s) if queued.restart else None)
    if spent is not None:
        return spent
    if queued.meaning is Meaning.HELD:
        return _decide_held(s, queued)
    gave_up = [p.stage for p in s.parents if p.state in _GAVE_UP and p.slurm_id is None]
    if gave_up and queued.never_satisfied:
        return Decision(
            rule="parent-gave-up",
            action=Action.WITHDRAW,
            sentence=f"{gave_up[0]} will not be done by itself; it comes back when that goes on",
            state=StageState.WAITING,
        )
    return _rewired(s, queued) or _waiting(queued)


def _decide_held(s: Situation, queued: Queued) -> Decision:
    if not queued.held_after_launch:
        return hold(
            "held-in-queue", f"held in Slurm ({queued.reason}), not by us; launcher resume frees it"
        )
    if s.releases == 0:
        return Decision(
            rule="launch-failed",
            action=Action.RELEASE,
            sentence="Slurm could not start it and held it: released, once",
            state=StageState.PENDING,
        )
    return hold(
        "launch-failed-again", f"Slurm could not start it twice; see to its nodes, {_RESUME}"
    )


def _rewired(s: Situation, queued: Queued) -> Decision | None:
    """Ties the job to the parents' jobs as they are now; None where it is tied so."""
    wanted = s.wanted_dependency
    if not s.can_be_submitted:
        return None  # a parent has no job yet
    if not queued.never_satisfied and set(wanted) <= set(queued.waits_for):
        return None
    ids = ", ".join(wanted)
    return Decision(
        rule="rewire",
        action=Action.REWIRE,
        sentence=f"its parents are jobs {ids} now" if wanted else "its parents are done",
        state=StageState.WAITING if wanted else StageState.PENDING,
        depends_on=wanted,
    )


def _waiting(queued: Queued) -> Decision:
    if queued.meaning is Meaning.WAITING:
        return nothing("waits-for-parents", queued.reason, StageState.WAITING)
    return nothing("queued", queued.reason, StageState.PENDING)
