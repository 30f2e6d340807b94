"""Every row of the table of decisions: what an end leads to, by which rule, and what it says."""

from dataclasses import replace
from typing import NamedTuple

import pytest

from db.states import StageState
from launcher.cluster.states import Ending
from launcher.reconcile.policy import Action, End, Situation, decide
from tests.launcher.policy.situations import (
    NOW,
    ON_ITS_WAY,
    after,
    again,
    ended,
    failed,
    gone,
    hung,
)

RESUBMIT, HOLD, FAIL, CANCEL = Action.RESUBMIT, Action.HOLD, Action.FAIL, Action.CANCEL
STATE = {
    RESUBMIT: StageState.INTERRUPTED,
    HOLD: StageState.HELD,
    FAIL: StageState.FAILED,
    CANCEL: StageState.CANCELLED,
    Action.DONE: StageState.DONE,
    Action.NOTHING: None,
}


class Row(NamedTuple):
    """A situation, and what must follow from it."""

    name: str
    situation: Situation
    rule: str
    action: Action
    after_s: float | None = None
    avoid: tuple[str, ...] = ()
    says: str = ""


STOPPED = ended(Ending.FAILED, outcome="stopped", exit_code=75)
TIMEOUT = ended(Ending.TIME_LIMIT)
NODE_FAIL = ended(Ending.NODE_FAILURE, host="node3")
BOOT_FAIL = ended(Ending.LAUNCH_FAILURE, stepped=False, step=None, ran_s=5.0)
OOM = ended(Ending.OUT_OF_MEMORY, memory="64 GB a node")
CUDA_OOM = failed("OutOfMemoryError", fault="out_of_memory")
HARDWARE = failed("NCCLError", fault="hardware", host="node2")
WELL = ended(Ending.COMPLETED, outcome="done", exit_code=0)
KEY_ERROR = failed()
OTHER_ERROR = failed("ValueError", step=80)
USERS, OTHERS = ended(Ending.CANCELLED, by="self"), ended(Ending.CANCELLED, by="other")
KEYS = failed(progress=30)


def moving(end: End, by: int = 50) -> End:
    """The same end of an attempt that left a newer checkpoint."""
    return replace(end, progress=by)


SPEC = [
    Row("saved and stopped", gone(STOPPED), "stopped", RESUBMIT),
    Row("saved, Slurm says COMPLETED", gone(replace(STOPPED, ending=Ending.COMPLETED)),
        "stopped", RESUBMIT),
    Row("saved, Slurm says TIMEOUT", gone(replace(STOPPED, ending=Ending.TIME_LIMIT)),
        "stopped", RESUBMIT),
    Row("saved, accounting has not said why", gone(replace(STOPPED, ending=None)),
        "who-stopped", Action.NOTHING),
    Row("saved, accounting never says why", gone(replace(STOPPED, ending=None), unseen_s=301.0),
        "stopped", RESUBMIT),
    Row("saved, there is no accounting",
        gone(replace(STOPPED, ending=None), accounting=False), "stopped", RESUBMIT),
    Row("saved while somebody ended it, nobody says who",
        gone(replace(STOPPED, ending=None, ended_by_others=True), accounting=False),
        "who-stopped", HOLD, says="launcher resume"),
    Row("preempted", gone(ended(Ending.PREEMPTED)), "preempted", RESUBMIT),
    Row("revoked", gone(ended(Ending.REVOKED)), "preempted", RESUBMIT),
    Row("time limit, it had moved", gone(moving(TIMEOUT)), "time-limit", RESUBMIT),
    Row("time limit in vain", gone(TIMEOUT), "time-limit-once-more", RESUBMIT),
    Row("time limit in vain, after one that moved", after(TIMEOUT, moving(TIMEOUT)),
        "time-limit-once-more", RESUBMIT),
    Row("time limit twice in vain", again(TIMEOUT, 2), "slice-too-short", HOLD, says="60 min"),
    Row("node failure", gone(NODE_FAIL), "node-failure", RESUBMIT, avoid=("node3",)),
    Row("boot failure", gone(BOOT_FAIL), "launch-failed", RESUBMIT),
    Row("boot failure, the third", after(BOOT_FAIL, moving(STOPPED), *[BOOT_FAIL] * 2),
        "no-progress", HOLD),
    Row("boot failure, the fourth", again(BOOT_FAIL, 4), "launch-failed-again", HOLD),
    Row("out of memory, it moves", gone(moving(OOM)), "out-of-memory-again", RESUBMIT),
    Row("out of memory, it moves, the third", again(moving(OOM), 3), "out-of-memory-again",
        RESUBMIT),
    Row("out of memory, it moves, the fourth", again(moving(OOM), 4), "out-of-memory", FAIL),
    Row("out of memory in vain", gone(OOM), "out-of-memory", FAIL, says="64 GB a node"),
    Row("CUDA out of memory in vain", gone(CUDA_OOM), "out-of-memory", FAIL,
        says="OutOfMemoryError"),
    Row("CUDA out of memory, it moves", gone(moving(CUDA_OOM)), "out-of-memory-again", RESUBMIT),
    Row("exit 93", gone(ended(Ending.FAILED, outcome="refused", message="no GPU here")),
        "refused", FAIL, says="no GPU here"),
    Row("exit 93 without an event", gone(ended(Ending.FAILED, exit_code=93)), "refused", FAIL,
        says="93"),
    Row("exit 93: taken over, but the other is not there",
        gone(ended(Ending.FAILED, outcome="refused", fault="fenced")), "fenced", RESUBMIT),
    Row("exit 93: no checkpoint is whole",
        gone(ended(Ending.FAILED, outcome="refused", fault="checkpoints")),
        "checkpoints-damaged", HOLD),
    Row("exit 93: parents are not done",
        gone(ended(Ending.FAILED, outcome="refused", fault="parents")),
        "parents-not-done", RESUBMIT),
    Row("deterministic error", gone(failed("ImportError", fault="deterministic")),
        "deterministic", FAIL, says="ImportError"),
    Row("dead within two minutes without a step",
        gone(failed(ran_s=119.0, stepped=False, step=None)), "died-early", FAIL, says="119 s"),
    Row("dead within two minutes with a step", gone(failed(ran_s=119.0)), "failed", RESUBMIT, 60),
    Row("hardware", gone(HARDWARE), "hardware", RESUBMIT, avoid=("node2",)),
    Row("hardware within two minutes", gone(replace(HARDWARE, ran_s=9.0, stepped=False)),
        "hardware", RESUBMIT, avoid=("node2",)),
    Row("failure, the first", gone(KEY_ERROR), "failed", RESUBMIT, 60, says="KeyError"),
    Row("failure, the second", after(OTHER_ERROR, KEY_ERROR), "failed", RESUBMIT, 300),
    Row("failure, the third, another each time", after(failed("OSError"), OTHER_ERROR, KEY_ERROR),
        "failed-for-good", FAIL, says="3 times"),
    Row("failure, one by itself: a bash status", gone(ended(Ending.FAILED, exit_code=7)), "failed",
        RESUBMIT, 60, says="exit code 7"),
    Row("same failure twice", again(KEY_ERROR, 2), "same-failure-rewind", RESUBMIT),
    Row("same failure twice, one checkpoint", again(KEY_ERROR, 2, checkpoints=1), "failed",
        RESUBMIT, 300),
    Row("same failure three times", again(KEY_ERROR, 3), "same-failure", HOLD, says="step 40"),
    Row("same failure three times, it moved meanwhile", after(KEYS, KEYS, KEYS),
        "same-failure", HOLD),
    Row("cancelled by its user", gone(USERS), "cancelled-by-user", CANCEL),
    Row("cancelled by its user, saved first", gone(replace(USERS, outcome="stopped")),
        "cancelled-by-user", CANCEL),
    Row("cancelled by another user", gone(OTHERS), "cancelled-by-other", HOLD),
    Row("cancelled, by whom is not known yet", gone(replace(USERS, by="unknown")),
        "who-cancelled", Action.NOTHING),
    Row("cancelled, by whom nobody will say", gone(replace(USERS, by="unknown"), unseen_s=301.0),
        "cancelled-by-user", CANCEL),
    Row("cancelled, there is no accounting",
        gone(replace(USERS, by="unknown"), accounting=False, unseen_s=301.0),
        "cancelled-by-user", CANCEL),
    Row("ended by the hang watchdog", hung(gone(replace(USERS, host="node4"))), "hang", RESUBMIT,
        avoid=("node4",)),
    Row("Slurm's deadline", gone(ended(Ending.DEADLINE)), "slurm-deadline", HOLD),
    Row("ended well, no result, it moved", gone(moving(WELL)), "completed-unfinished", RESUBMIT),
    Row("ended well, no result, in vain", gone(WELL), "completed-without-result", RESUBMIT, 60),
    Row("ended well, no result, three times", again(WELL, 3),
        "completed-without-result-for-good", FAIL),
    Row("not resumable, preempted", gone(ended(Ending.PREEMPTED), resumable=False),
        "not-resumable", FAIL, says="resumable: false"),
    Row("not resumable, never started", gone(ended(Ending.LAUNCH_FAILURE, started=False),
        resumable=False), "launch-failed", RESUBMIT),
    Row("not resumable, its node did not boot", gone(BOOT_FAIL, resumable=False),
        "launch-failed", RESUBMIT),
    Row("not resumable, it refused before its first step",
        gone(ended(Ending.FAILED, outcome="refused", fault="parents"), resumable=False),
        "parents-not-done", RESUBMIT),
    Row("ended, nobody says how", gone(ended()), "settling", Action.NOTHING),
    Row("ended, nobody says how for long", gone(ended(), unseen_s=301.0), "lost", RESUBMIT),
]  # fmt: skip


@pytest.mark.parametrize("row", SPEC, ids=lambda row: row.name)
def test_end_leads_to_what_the_table_says(row: Row) -> None:
    decision = decide(row.situation)

    assert (decision.rule, decision.action, decision.state, decision.avoid) == (
        row.rule, row.action, STATE[row.action], row.avoid
    )  # fmt: skip
    assert decision.not_before == (None if row.after_s is None else NOW + row.after_s)
    assert row.says in decision.sentence


@pytest.mark.parametrize("row", SPEC, ids=lambda row: row.name)
def test_decision_says_why_and_a_hold_says_what_to_do(row: Row) -> None:
    decision = decide(row.situation)

    assert decision.sentence
    assert decision.action is not HOLD or "launcher resume" in decision.sentence


@pytest.mark.parametrize("kind", [Ending.LAUNCH_FAILURE, "hardware", "hang"])
@pytest.mark.parametrize("times", [3, 4])
def test_fault_of_the_nodes_is_tried_three_times_whatever_the_budget(kind, times) -> None:
    end = {
        Ending.LAUNCH_FAILURE: replace(BOOT_FAIL, started=False),
        "hardware": HARDWARE,
        "hang": USERS,
    }[kind]
    situation = again(end, times)
    if kind == "hang":
        situation = hung(situation)
    patient = replace(situation, budgets=replace(situation.budgets, no_progress=9))

    decision = decide(patient)

    assert decision.action is (RESUBMIT if times == 3 else HOLD)


def test_launch_failures_without_an_allocation_are_counted_all_the_same() -> None:
    never = gone(replace(BOOT_FAIL, started=False))
    past = tuple(replace(each, started_at=None) for each in never.past * 4)

    assert decide(replace(never, past=past)).rule == "launch-failed-again"


def test_failure_is_tried_again_at_once_where_it_ended_long_ago() -> None:
    long_ago = replace(KEY_ERROR, at=NOW - 61)

    assert decide(gone(long_ago)).not_before is None


def test_same_failure_is_tried_from_the_checkpoint_before() -> None:
    assert decide(again(KEY_ERROR, 2)).rewind


def test_completed_child_of_an_undone_parent_is_held_loudly() -> None:
    decision = decide(gone(WELL, parents=(ON_ITS_WAY,)))

    assert (decision.rule, decision.action) == ("integrity", HOLD)
