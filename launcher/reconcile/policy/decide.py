"""The order in which the evidence counts: result, queue, intent, then how the attempt ended."""

from db.states import DONE_STATES, StageState
from launcher.cluster.states import Meaning
from launcher.reconcile.policy.budgets import checked
from launcher.reconcile.policy.decision import (
    Action,
    Decision,
    cancelled,
    hold,
    nothing,
    resubmit,
)
from launcher.reconcile.policy.ended import SETTLING_S, decide_ended
from launcher.reconcile.policy.live import decide_live
from launcher.reconcile.policy.situation import Handover, Situation

SETTLING_PASSES = 2
UNSENT = "unsent"
INTEGRITY = "integrity"
WITHDRAWN = "withdrawn"
"""The rule by which a submission is closed, and its stage waits on."""
ANSWER_S = 120.0
"""How long after sbatch a job may still appear: sbatch itself is given 60 s."""
_OVER = (*DONE_STATES, StageState.FAILED, StageState.CANCELLED, StageState.HELD)


def decide(s: Situation) -> Decision:
    """What is to be done about a stage run."""
    if s.done or s.unverified:
        return _decide_final(s)
    if not s.answered:
        return nothing("no-answer", "Slurm did not answer; nothing is known, nothing is done")
    if s.intent == "cancel":
        return cancelled("cancelled-by-launcher", "cancelled by `launcher cancel`")
    if s.intent == "withdraw":
        return _decide_withdrawn(s)
    if s.queued is not None:
        return decide_live(s, s.queued)
    return _decide_gone(s)


def _decide_withdrawn(s: Situation) -> Decision:
    """Its job was taken out of the queue until its parents go on."""
    sentence = "it waits for its parents without a job"
    if s.queued is None:
        return nothing(WITHDRAWN, sentence, StageState.WAITING)
    return Decision(
        rule=WITHDRAWN, action=Action.WITHDRAW, sentence=sentence, state=StageState.WAITING
    )


def _decide_gone(s: Situation) -> Decision:
    """The queue shows no job of the stage that could still do something."""
    if s.handover is Handover.NONE:
        return _decide_without_job(s)
    if s.handover is Handover.UNSENT:
        return _decide_unsent(s)
    if s.end is not None:
        return checked(s, decide_ended(s, s.end))
    if s.handover is Handover.SENT:
        return _decide_unanswered(s)
    return _decide_unseen(s)


def _decide_final(s: Situation) -> Decision:
    """Its final checkpoint is there."""
    if not s.done:
        return nothing("unverified", "its final checkpoint is there; a pass reads it whole first")
    was_held = s.state is StageState.HELD and s.rule == INTEGRITY
    if was_held and s.parents_done:
        return hold(
            INTEGRITY, "it was done before its parents were: look at it, then: launcher resume"
        )
    if not s.parents_done:
        missing = ", ".join(parent.stage for parent in s.parents if not parent.done)
        return hold(
            INTEGRITY,
            f"it is done although {missing} is not: its result must not be trusted, and nothing "
            "that needs it goes on until somebody has looked, then: launcher resume",
        )
    sentence = "its final checkpoint is there and whole"
    waits = s.queued is not None and s.queued.meaning is not Meaning.RUNNING
    if waits and s.answered:
        return Decision(
            rule="done-but-queued",
            action=Action.WITHDRAW,
            sentence=f"{sentence}; the job need not run again",
            state=StageState.DONE,
        )
    return Decision(rule="done", action=Action.DONE, sentence=sentence, state=StageState.DONE)


def _decide_without_job(s: Situation) -> Decision:
    if s.state in _OVER:
        return nothing("over", "")
    if any(parent.state is StageState.CANCELLED for parent in s.parents):
        return cancelled("parent-cancelled", "a stage that it needs was cancelled")
    return checked(s, resubmit("parents-ready", "its parents are on their way again"))


def _decide_unsent(s: Situation) -> Decision:
    if any(parent.state is StageState.CANCELLED for parent in s.parents):
        return cancelled("parent-cancelled", "a stage that it needs was cancelled")
    wanted = checked(s, resubmit(UNSENT, "it has not been handed to the cluster yet"))
    if wanted.action is not Action.RESUBMIT or wanted.not_before is not None:
        return wanted
    return Decision(
        rule=wanted.rule,
        action=Action.SUBMIT,
        sentence=wanted.sentence,
        state=StageState.SUBMITTING,
    )


def _decide_unanswered(s: Situation) -> Decision:
    """Sbatch was called and the answer never came: the job may exist under its token."""
    if s.sent_s < ANSWER_S or not (s.accounting or s.unseen_s >= SETTLING_S):
        return nothing("looks-for-job", "sbatch gave no answer; its job is being looked for")
    return checked(s, resubmit("no-such-job", "sbatch gave no answer, and no job has its name"))


def _decide_unseen(s: Situation) -> Decision:
    """Neither the queue nor accounting nor the job itself says what became of it."""
    if s.unseen_passes < SETTLING_PASSES or s.unseen_s < SETTLING_S:
        return nothing("settling", "nobody knows its job at the moment; that may settle")
    quiet_s = 2 * s.budgets.hang_s
    if s.silent_s < quiet_s:
        return nothing(
            "lost-but-alive",
            f"nobody knows its job, but it wrote {s.silent_s:.0f} s ago; it is left alone until "
            f"it has been silent for {quiet_s:.0f} s",
        )
    return checked(s, resubmit("lost", "its job is lost: nobody knows it, and it is silent"))
