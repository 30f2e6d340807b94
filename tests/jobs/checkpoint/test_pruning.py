"""What is removed from the disk after a save."""

import os

from jobs.checkpoint.store import prune
from jobs.contract.checkpointing import Checkpointing
from jobs.contract.manifest import Manifest, checkpoint_folders, describe, write_manifest
from jobs.contract.paths import RunFolder
from tests.jobs.paper import paper_job


def save(run: RunFolder, step: int, **fields):
    """A whole checkpoint of one file."""
    folder = run.stage("s1").checkpoint(step, final=bool(fields.get("final")))
    folder.mkdir(parents=True)
    (folder / "shard").write_text(f"{step}")
    files = (describe(folder / "shard", "shard"),)
    write_manifest(folder, Manifest(step=step, files=files, **fields))
    return folder


def left(run: RunFolder) -> list[int]:
    """The steps of the checkpoints on the disk."""
    return sorted(int(path.name[5:13]) for path in checkpoint_folders(run.stage("s1").checkpoints))


def test_checkpoints_that_a_rule_keeps_stay_on_the_disk(tmp_path):
    run = RunFolder(tmp_path)
    for step in range(10, 100, 10):
        save(run, step, loss=abs(step - 40) + 1.0, ends_epoch=step == 30)

    rules = Checkpointing(keep=2, keep_every=50, keep_epochs=True, keep_best=True)
    prune(paper_job(run), rules)

    assert left(run) == [30, 40, 50, 80, 90]


def test_attempt_that_was_taken_over_removes_nothing(tmp_path):
    run = RunFolder(tmp_path)
    for step in (10, 20, 30):
        save(run, step)
    run.stage("s1").fence.write_text("2\n")

    prune(paper_job(run, fence=1), Checkpointing(keep=1))
    before = left(run)
    prune(paper_job(run, fence=2), Checkpointing(keep=1))

    assert (before, left(run)) == ([10, 20, 30], [30])


def bad(run: RunFolder, step: int, at: float):
    """One that did not verify."""
    folder = run.stage("s1").checkpoints / f"bad-step-{step:08d}"
    folder.mkdir(parents=True)
    os.utime(folder, (at, at))
    return folder


def test_those_that_did_not_verify_go_but_for_the_last_two(tmp_path):
    run = RunFolder(tmp_path)
    first, *others = [bad(run, step, at) for at, step in enumerate((30, 10, 20))]
    save(run, 40)

    prune(paper_job(run), Checkpointing())

    assert (first.exists(), [each.exists() for each in others]) == (False, [True, True])


def test_those_that_did_not_verify_stay_while_there_is_no_better_one(tmp_path):
    run = RunFolder(tmp_path)
    folders = [bad(run, step, step) for step in (10, 20, 30)]

    prune(paper_job(run), Checkpointing())

    assert all(folder.exists() for folder in folders)
