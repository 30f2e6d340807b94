"""What a job that the queue shows, a missing answer and a missing job lead to."""

from dataclasses import replace
from typing import NamedTuple

import pytest

from db.states import StageState
from launcher.cluster.states import WORDS, Meaning, ending, is_live_in_queue, meaning
from launcher.reconcile.policy import Action, Parent, Situation, decide
from tests.launcher.policy.situations import (
    CANCELLED,
    DONE,
    GAVE_UP,
    INTERRUPTED,
    NO_JOB,
    NOW,
    ON_ITS_WAY,
    SENT,
    UNSENT,
    ended,
    gone,
    in_queue,
    stage,
)

NOTHING, HOLD = Action.NOTHING, Action.HOLD
STOPPED = ended(ending("FAILED"), outcome="stopped")
NEVER = {"meaning": Meaning.WAITING, "reason": "DependencyNeverSatisfied", "never_satisfied": True}
LAUNCH = {"reason": "launch failed requeued held", "held_after_launch": True}
BY_SLURM = ended(ending("CANCELLED"), started=False, by="slurm")
BEGINS_A_JOB = (Action.SUBMIT, Action.RESUBMIT)


class Row(NamedTuple):
    """A situation, and what must follow from it."""

    name: str
    situation: Situation
    rule: str
    action: Action
    state: StageState | None


W, P, R, H = StageState.WAITING, StageState.PENDING, StageState.RUNNING, StageState.HELD
C, X, S, D = StageState.CANCELLED, StageState.INTERRUPTED, StageState.SUBMITTING, StageState.DONE

LIVE = [
    Row("waits for nodes", in_queue(reason="Resources"), "queued", NOTHING, P),
    Row("waits for parents", in_queue(Meaning.WAITING, reason="Dependency", waits_for=("7",),
        parents=(ON_ITS_WAY,)), "waits-for-parents", NOTHING, W),
    Row("runs", in_queue(Meaning.RUNNING, word="RUNNING"), "runs", NOTHING, R),
    Row("has a word that nobody knows", in_queue(Meaning.UNKNOWN, word="TELEPORTING"),
        "unknown-word", NOTHING, None),
    Row("moved just now", in_queue(Meaning.RUNNING, still_s=599.0), "runs", NOTHING, R),
    Row("hangs", in_queue(Meaning.RUNNING, still_s=600.0), "hang", Action.STOP_HUNG, R),
    Row("is ended because it hung, and still there", in_queue(Meaning.RUNNING, intent="hang"),
        "hang", Action.STOP_HUNG, R),
    Row("runs past the deadline", in_queue(Meaning.RUNNING, deadline_at=NOW), "deadline",
        Action.STOP, R),
    Row("runs past the deadline again, told to stop", in_queue(Meaning.RUNNING, deadline_at=NOW,
        intent="limit"), "deadline", Action.STOP, R),
    Row("waits past the deadline", in_queue(deadline_at=NOW), "deadline", HOLD, H),
    Row("runs on too many GPU-hours", in_queue(Meaning.RUNNING, gpu_hours=9, max_gpu_hours=9),
        "gpu-hours", Action.STOP, R),
    Row("waits after too many GPU-hours", in_queue(gpu_hours=9, max_gpu_hours=9), "gpu-hours",
        HOLD, H),
    Row("was requeued without progress too often", in_queue(restart=3,
        past=gone(ended()).past * 3), "no-progress", HOLD, H),
    Row("was submitted again by a person after that", in_queue(restart=0,
        past=gone(ended()).past * 3), "queued", NOTHING, P),
    Row("is to be held", in_queue(intent="hold"), "held-by-launcher", HOLD, H),
    Row("runs, is to be held", in_queue(Meaning.RUNNING, intent="hold"), "held-by-launcher",
        Action.STOP, R),
    Row("needs a stage that waits without a job", in_queue(**NEVER,
        parents=(Parent("second", StageState.WAITING),)), "parent-gave-up", Action.WITHDRAW, W),
    Row("is held by a person", in_queue(Meaning.HELD, reason="JobHeldUser"), "held-in-queue",
        HOLD, H),
    Row("could not be started", in_queue(Meaning.HELD, **LAUNCH), "launch-failed",
        Action.RELEASE, P),
    Row("could not be started, twice", in_queue(Meaning.HELD, releases=1, **LAUNCH),
        "launch-failed-again", HOLD, H),
    Row("is to be cancelled", in_queue(intent="cancel"), "cancelled-by-launcher",
        Action.CANCEL, C),
    Row("runs, is to be cancelled", in_queue(Meaning.RUNNING, intent="cancel"),
        "cancelled-by-launcher", Action.CANCEL, C),
    Row("is to be withdrawn", in_queue(intent="withdraw", parents=(GAVE_UP,)), "withdrawn",
        Action.WITHDRAW, W),
    Row("parent has another job now", in_queue(**NEVER, waits_for=("5",), parents=(ON_ITS_WAY,)),
        "rewire", Action.REWIRE, W),
    Row("parent has another job, the queue has not noticed", in_queue(Meaning.WAITING,
        reason="Dependency", waits_for=("5",), parents=(ON_ITS_WAY,)), "rewire", Action.REWIRE, W),
    Row("parent is done, the queue does not know", in_queue(**NEVER, waits_for=("7",)),
        "rewire", Action.REWIRE, P),
    Row("parent has no job yet", in_queue(**NEVER, parents=(INTERRUPTED,)), "waits-for-parents",
        NOTHING, W),
    Row("parent gave up", in_queue(**NEVER, parents=(GAVE_UP,)), "parent-gave-up",
        Action.WITHDRAW, W),
    Row("parent is held in the queue", in_queue(Meaning.WAITING, reason="Dependency",
        waits_for=("7",), parents=(Parent("first", H, "7"),)), "waits-for-parents", NOTHING, W),
    Row("parent was cancelled", in_queue(Meaning.WAITING, parents=(CANCELLED,)),
        "parent-cancelled", Action.CANCEL, C),
]  # fmt: skip

OTHERS = [
    Row("done", gone(ended(), done=True), "done", Action.DONE, D),
    Row("done, whatever Slurm says", gone(ended(outcome="stopped"), done=True), "done",
        Action.DONE, D),
    Row("done, its last ranks are leaving", in_queue(Meaning.RUNNING, word="COMPLETING",
        done=True), "done", Action.DONE, D),
    Row("done, and requeued", in_queue(done=True, restart=1), "done-but-queued",
        Action.WITHDRAW, D),
    Row("done, Slurm is silent", stage(done=True, answered=False), "done", Action.DONE, D),
    Row("done before its parent", gone(ended(), done=True, parents=(ON_ITS_WAY,)), "integrity",
        HOLD, H),
    Row("Slurm is silent", stage(answered=False), "no-answer", NOTHING, None),
    Row("Slurm is silent, is to be cancelled", stage(answered=False, intent="cancel"),
        "no-answer", NOTHING, None),
    Row("withdrawn", stage(intent="withdraw", parents=(GAVE_UP,)), "withdrawn", NOTHING, W),
    Row("cancelled, and gone", gone(ended(), intent="cancel"), "cancelled-by-launcher",
        Action.CANCEL, C),
    Row("nobody knows it, the second pass", stage(unseen_passes=2, unseen_s=299.0), "settling",
        NOTHING, None),
    Row("nobody knows it, for long, the first pass", stage(unseen_passes=1, unseen_s=999.0),
        "settling", NOTHING, None),
    Row("nobody knows it, it writes", stage(unseen_passes=2, unseen_s=300.0, silent_s=1199.0),
        "lost-but-alive", NOTHING, None),
    Row("nobody knows it, it is silent", stage(unseen_passes=2, unseen_s=300.0,
        silent_s=1200.0), "lost", Action.RESUBMIT, X),
    Row("sbatch gave no answer just now", stage(handover=SENT, sent_s=119.0), "looks-for-job",
        NOTHING, None),
    Row("sbatch gave no answer, accounting is silent", stage(handover=SENT, sent_s=500.0,
        accounting=False, unseen_s=299.0), "looks-for-job", NOTHING, None),
    Row("sbatch gave no answer, nobody knows the name", stage(handover=SENT, sent_s=120.0),
        "no-such-job", Action.RESUBMIT, X),
    Row("sbatch gave no answer, there is no accounting", stage(handover=SENT, sent_s=500.0,
        accounting=False, unseen_s=300.0), "no-such-job", Action.RESUBMIT, X),
    Row("never sent", stage(handover=UNSENT), "unsent", Action.SUBMIT, S),
    Row("never sent, parent is on its way", stage(handover=UNSENT, parents=(ON_ITS_WAY,)),
        "unsent", Action.SUBMIT, S),
    Row("never sent, parent has no job", stage(handover=UNSENT, parents=(INTERRUPTED,)),
        "waits-for-parents", NOTHING, W),
    Row("never sent, parent on a cluster that holds no dependencies", stage(handover=UNSENT,
        parents=(ON_ITS_WAY,), waits_in_queue=False), "waits-for-parents", NOTHING, W),
    Row("never sent, parent was cancelled", stage(handover=UNSENT, parents=(CANCELLED,)),
        "parent-cancelled", Action.CANCEL, C),
    Row("waits without a job, parents go on", stage(handover=NO_JOB, state=W,
        parents=(ON_ITS_WAY,)), "parents-ready", Action.RESUBMIT, X),
    Row("waits without a job, parents have none", stage(handover=NO_JOB, state=W,
        parents=(INTERRUPTED,)), "waits-for-parents", NOTHING, W),
    Row("waits without a job, parent was cancelled", stage(handover=NO_JOB, state=W,
        parents=(CANCELLED,)), "parent-cancelled", Action.CANCEL, C),
    *(Row(f"{state}, no job", stage(handover=NO_JOB, state=state), "over", NOTHING, None)
      for state in (D, StageState.REUSED, StageState.FAILED, C, H)),
    Row("ended by a dependency, parent is on its way", gone(BY_SLURM,
        parents=(ON_ITS_WAY,)), "dependency-cancelled", Action.RESUBMIT, X),
    Row("ended by a dependency, parent has no job", gone(BY_SLURM,
        parents=(INTERRUPTED,)), "waits-for-parents", NOTHING, W),
    Row("ended by a dependency, parent is done by now", gone(BY_SLURM), "dependency-cancelled",
        Action.RESUBMIT, X),
    Row("ended by Slurm while it ran", gone(replace(BY_SLURM, started=True)),
        "cancelled-by-other", HOLD, H),
    Row("ended by a dependency or a user", gone(replace(BY_SLURM, by="unknown"),
        parents=(INTERRUPTED,)), "who-cancelled", NOTHING, None),
    Row("ended before it started, there is no accounting", gone(replace(BY_SLURM, by="unknown"),
        unseen_s=301.0, parents=(ON_ITS_WAY,)), "cancelled-by-user", Action.CANCEL, C),
    Row("cancelled before it started by another", gone(replace(BY_SLURM, by="other"),
        parents=(ON_ITS_WAY,)), "cancelled-by-other", HOLD, H),
    Row("cancelled before it started by its user", gone(ended(ending("CANCELLED"), started=False,
        by="self"), parents=(ON_ITS_WAY,)), "cancelled-by-user", Action.CANCEL, C),
    Row("all checkpoints are damaged", gone(STOPPED, all_damaged=True),
        "checkpoints-damaged", HOLD, H),
    Row("deadline has passed", gone(STOPPED, deadline_at=NOW), "deadline",
        HOLD, H),
    Row("GPU-hours are used up", gone(STOPPED, gpu_hours=9, max_gpu_hours=9),
        "gpu-hours", HOLD, H),
    Row("interrupted, is to be held", gone(STOPPED, intent="hold"),
        "held-by-launcher", HOLD, H),
]  # fmt: skip


def says_what_next(sentence: str) -> bool:
    """Whether it tells what a person can do."""
    return "launcher resume" in sentence or "submit it again with" in sentence


@pytest.mark.parametrize("row", [*LIVE, *OTHERS], ids=lambda row: row.name)
def test_stage_is_treated_as_its_situation_asks(row: Row) -> None:
    decision = decide(row.situation)

    assert (decision.rule, decision.action, decision.state) == row[2:]
    assert decision.action is not HOLD or says_what_next(decision.sentence)


@pytest.mark.parametrize("row", LIVE, ids=lambda row: row.name)
def test_job_in_the_queue_is_never_joined_by_another(row: Row) -> None:
    assert decide(row.situation).action not in BEGINS_A_JOB


@pytest.mark.parametrize("row", [*LIVE, *OTHERS], ids=lambda row: row.name)
def test_nothing_is_done_while_slurm_is_silent(row: Row) -> None:
    silent = replace(row.situation, answered=False)

    assert decide(silent).action in (NOTHING, Action.DONE, HOLD)
    assert decide(silent).action is not HOLD or silent.done


@pytest.mark.parametrize("word", [*filter(is_live_in_queue, WORDS), "TELEPORTING"])
def test_live_word_of_slurm_never_leads_to_another_job(word: str) -> None:
    reasons = ("", "Dependency", "DependencyNeverSatisfied", "JobHeldUser", "BeginTime")

    decisions = [
        decide(in_queue(meaning(word, reason), word=word, reason=reason, past=past, **limits))
        for reason in reasons
        for past in ((), gone(ended()).past * 9)
        for limits in ({}, {"intent": "hang"}, {"done": True}, {"deadline_at": NOW})
    ]

    assert not {decision.action for decision in decisions} & set(BEGINS_A_JOB)
    assert all(decision.rule for decision in decisions)


@pytest.mark.parametrize("word", [word for word in WORDS if not is_live_in_queue(word)])
@pytest.mark.parametrize("outcome", [None, "stopped", "failed", "refused", "done"])
@pytest.mark.parametrize("moved", [0, 50])
def test_last_word_of_slurm_leads_to_a_decision(word, outcome, moved) -> None:
    decision = decide(gone(ended(ending(word), outcome=outcome, progress=moved)))

    assert decision.rule
    assert decision.sentence
    assert decision.action in (Action.RESUBMIT, HOLD, Action.FAIL, Action.CANCEL)


def test_rewired_job_waits_for_the_parents_that_are_not_done() -> None:
    parents = (DONE, replace(ON_ITS_WAY, stage="other"))

    decision = decide(in_queue(**NEVER, parents=parents))

    assert decision.depends_on == ("7",)
