"""Checkpoints on the disk: what becomes visible, what is removed, what is chosen."""

import pytest

from jobs.checkpoint.store import aside_of, commit, prune
from jobs.contract.checkpointing import Checkpointing
from jobs.contract.manifest import (
    checkpoint_folders,
    newest_valid,
)
from jobs.contract.paths import RunFolder
from tests.jobs.checkpoint.stored import save, write
from tests.jobs.paper import paper_job


@pytest.fixture
def run(tmp_path) -> RunFolder:
    return RunFolder(tmp_path)


@pytest.fixture
def stage(run):
    return run.stage("s1")


def commit_by(job, step, *, by):
    """What `commit` says to the checkpoint of an attempt."""
    target = job.folder.checkpoint(step)
    aside = aside_of(target, job)
    return commit(aside, target, write(aside, step, by=by), job)


def test_checkpoint_that_lost_a_shard_is_never_chosen(stage):
    before, newest = save(stage, 4), save(stage, 8)
    (newest / "shard-1").unlink()

    assert newest_valid(stage.checkpoints, digests=True)[0] == before


def test_committed_checkpoint_is_visible_and_whole(run, stage):
    told = commit_by(paper_job(run), 8, by="a")

    assert told is None
    assert [path.name for path in stage.checkpoints.iterdir()] == ["step-00000008"]
    assert newest_valid(stage.checkpoints, digests=True)[0] == stage.checkpoint(8)


def test_two_attempts_never_write_into_one_folder(run, stage):
    target = stage.checkpoint(8)
    jobs = [
        paper_job(run, attempt=attempt, fence=fence)
        for attempt in ("7.0", "7.1", "8.0")
        for fence in (1, 2)
    ]

    assert len({aside_of(target, job) for job in jobs}) == 6


@pytest.mark.parametrize("newer", ["submission", "attempt"])
def test_attempt_that_was_overtaken_commits_nothing(run, stage, newer):
    job = paper_job(run)
    stage.events.mkdir(parents=True)
    if newer == "submission":
        stage.fence.write_text("2")
    else:
        (stage.events / "7.1.jsonl").touch()

    told = commit_by(job, 8, by="zombie")

    assert told.startswith(f"a newer {newer} ")
    assert list(stage.checkpoints.iterdir()) == []


def test_attempts_of_other_jobs_and_failing_ranks_overtake_nobody(run, stage):
    stage.events.mkdir(parents=True)
    for name in ("7.0.jsonl", "7.0.rank-00003.jsonl", "6.4.jsonl", "77.1.jsonl", "7.0.5.jsonl"):
        (stage.events / name).touch()

    assert paper_job(run).taken_over() is None


def test_valid_checkpoint_of_the_same_step_is_not_replaced(run, stage):
    there = save(stage, 8, by="newer")

    told = commit_by(paper_job(run), 8, by="older")

    assert told is None
    assert (there / "shard-0").read_text() == "state 8 newer"
    assert list(stage.checkpoints.iterdir()) == [there]


def test_checkpoint_whose_content_is_not_what_was_saved_is_replaced(run, stage):
    there = save(stage, 8)
    (there / "shard-0").write_text("state 8 b")  # of the same size

    commit_by(paper_job(run), 8, by="c")

    assert (there / "shard-0").read_text() == "state 8 c"
    assert newest_valid(stage.checkpoints, digests=True)[0] == there


def test_pruning_keeps_the_newest(run, stage):
    folders = [save(stage, step) for step in (4, 8, 12, 16)]

    prune(paper_job(run), Checkpointing(keep=2))

    assert checkpoint_folders(stage.checkpoints) == [folders[3], folders[2]]


def test_pruning_never_removes_the_newest_valid_one(run, stage):
    whole, *torn = [save(stage, step) for step in (4, 8, 12)]
    for folder in torn:
        (folder / "shard-0").write_text("")

    prune(paper_job(run), Checkpointing(keep=1))

    assert checkpoint_folders(stage.checkpoints) == [torn[1], whole]


def test_nothing_is_removed_for_a_checkpoint_that_does_not_read_as_it_was_saved(run, stage):
    older, newest = (save(stage, step) for step in (4, 8))
    (newest / "shard-0").write_text("state 9 a")  # as long as it was

    prune(paper_job(run), Checkpointing(keep=1))

    assert checkpoint_folders(stage.checkpoints) == [newest, older]


@pytest.mark.parametrize(
    ("attempt", "fence", "stays"),
    [("7.0", 2, False), ("6.5", 1, False), ("7.1", 2, True), ("7.2", 2, True), ("9.0", 3, True)],
    ids=["an earlier attempt", "an older submission", "itself", "a later attempt", "a newer one"],
)
def test_pruning_leaves_alone_only_what_this_or_a_newer_attempt_is_writing(
    run, stage, attempt, fence, stays
):
    save(stage, 8)
    aside = aside_of(stage.checkpoint(6, final=True), paper_job(run, attempt=attempt, fence=fence))
    write(aside, 6)

    prune(paper_job(run, attempt="7.1", fence=2), Checkpointing(keep=1))

    assert aside.exists() == stays


def test_pruning_removes_what_an_older_version_of_the_code_left(run, stage):
    newest = save(stage, 8)
    write(stage.checkpoints / ".step-00000006", 6)

    prune(paper_job(run), Checkpointing(keep=1))

    assert list(stage.checkpoints.iterdir()) == [newest]
