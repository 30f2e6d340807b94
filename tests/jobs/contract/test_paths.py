"""Where things lie."""

from pathlib import Path

import pytest

from jobs.contract.paths import AttemptKey, RunFolder, StageFolder


@pytest.mark.parametrize("key", [AttemptKey("812", 0), AttemptKey("s1-01HX.y", 12)])
def test_attempt_key_reads_back_what_it_writes(key):
    assert AttemptKey.parse(str(key)) == key


@pytest.mark.parametrize("text", ["", "812", ".3", "812.x"])
def test_attempt_key_refuses_what_is_not_one(text):
    with pytest.raises(ValueError, match=r"not an attempt|invalid literal"):
        AttemptKey.parse(text)


def test_attempts_of_one_job_sort_by_restart_not_by_their_text():
    assert sorted([AttemptKey("8", 10), AttemptKey("8", 9)])[0].restart == 9


def test_final_checkpoint_sorts_between_its_step_and_the_next():
    folder = StageFolder(Path("s"))
    in_order = [
        folder.checkpoint(7),
        folder.checkpoint(12),
        folder.checkpoint(12, final=True),
        folder.checkpoint(100),
    ]

    assert sorted(in_order, key=str) == in_order


def test_run_folder_holds_a_folder_for_each_stage():
    folder = RunFolder(Path("/runs/r1")).stage("stage2")
    key = AttemptKey("812", 1)

    assert [
        str(path.relative_to("/runs/r1/stages/stage2"))
        for path in (
            folder.fence,
            folder.spec,
            folder.events_file(key),
            folder.events_file(key, 3),
            folder.log_file(key, 3),
            folder.checkpoint(1200),
        )
    ] == [
        "fence",
        "spec.json",
        "events/812.1.jsonl",
        "events/812.1.rank-00003.jsonl",
        "logs/812.1/rank-00003.log",
        "checkpoints/step-00001200",
    ]
