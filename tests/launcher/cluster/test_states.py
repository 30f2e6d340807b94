"""Slurm's words mean what the manual says, and an unknown one means nothing."""

import pytest

from launcher.cluster.states import Meaning, cause_of, is_live_in_queue, meaning, split_word


@pytest.mark.parametrize(
    ("word", "reason", "expected"),
    [
        ("PENDING", "Resources", Meaning.PENDING),
        ("PENDING", "Dependency", Meaning.WAITING),
        ("PENDING", "DependencyNeverSatisfied", Meaning.WAITING),
        ("PENDING", "JobHeldUser", Meaning.HELD),
        ("PENDING", "launch failed requeued held", Meaning.HELD),
        ("PENDING", "launch_failed_requeued_held", Meaning.HELD),
        ("REQUEUE_HOLD", "", Meaning.HELD),
        ("COMPLETING", "", Meaning.RUNNING),
        ("NODE_FAIL", "", Meaning.INTERRUPTED),
        ("CANCELLED by 1000", "", Meaning.CANCELLED),
        ("CANCELLED+", "", Meaning.CANCELLED),
        ("OUT_OF_MEMORY", "", Meaning.FAILED),
        ("TELEPORTING", "", Meaning.UNKNOWN),
    ],
)
def test_word_means_what_the_manual_says(word: str, reason: str, expected: Meaning) -> None:
    assert meaning(word, reason) == expected


def test_cancelled_word_tells_who_cancelled() -> None:
    assert split_word("CANCELLED by 1000") == ("CANCELLED", "1000")


def test_unknown_word_counts_as_live_so_that_nobody_acts() -> None:
    assert is_live_in_queue("TELEPORTING")


@pytest.mark.parametrize("word", ["COMPLETED", "PREEMPTED", "CANCELLED", "GONE"])
def test_ended_word_is_not_live(word: str) -> None:
    assert not is_live_in_queue(word)


def test_cause_is_empty_for_a_word_that_is_no_reason() -> None:
    assert [cause_of(word) for word in ("PREEMPTED", "COMPLETED", "RUNNING")] == [
        "preemption",
        "",
        "",
    ]
