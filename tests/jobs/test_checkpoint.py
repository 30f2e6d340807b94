"""Checkpoints: what is kept, what is chosen, and what a kill in the middle leaves."""

import random
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from jobs.checkpoint import prune, random_state, restore_random_state
from jobs.contract.manifest import (
    Manifest,
    checkpoint_folders,
    describe,
    newest_valid,
    write_manifest,
)
from jobs.contract.paths import StageFolder

RANK = """
import os, signal, sys
from pathlib import Path
import torch.distributed as dist
from jobs.checkpoint import Progress, save
from jobs.contract.paths import StageFolder

rank, folder, last = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]


class Engine:
    def save_checkpoint(self, root, *, tag, **_):
        (Path(root) / tag).mkdir(parents=True, exist_ok=True)
        if rank == 1 and last == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        (Path(root) / tag / f"shard-{rank}").write_text("state")


dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
wanted = {"carried": {}, "final": False, "parent": None, "code_sha": ""}
path, manifest = save(Engine(), StageFolder(folder), Progress(step=5), **wanted)
print(path.name, [file.name for file in manifest.files], flush=True)
os._exit(0)
"""


def save_on_two_ranks(folder, second):
    """Saves step 5 with an engine of two shards; the second rank is `well` or `killed`."""
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), str(folder), second],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [rank.communicate(timeout=120) for rank in ranks]
    # DeepSpeed has something to say when it is imported.
    return [rank.returncode for rank in ranks], [out.splitlines()[1:] for out, _ in said]


def test_save_lists_the_files_of_every_rank(tmp_path):
    codes, said = save_on_two_ranks(tmp_path, "well")

    files = ["random-00000.pt", "random-00001.pt", "shard-0", "shard-1"]
    assert codes == [0, 0]
    assert said == [[f"step-00000005 {files}"]] * 2


def test_kill_before_the_last_shard_leaves_nothing_to_resume_from(tmp_path):
    codes, _ = save_on_two_ranks(tmp_path, "killed")

    assert codes == [1, -signal.SIGKILL]
    assert [path.name for path in StageFolder(tmp_path).checkpoints.iterdir()] == [".step-00000005"]
    assert newest_valid(StageFolder(tmp_path).checkpoints, digests=True) is None


@pytest.fixture
def stage(tmp_path) -> StageFolder:
    return StageFolder(tmp_path)


def save(stage, step):
    """A checkpoint of two shards."""
    folder = stage.checkpoint(step)
    folder.mkdir(parents=True)
    files = []
    for rank in range(2):
        shard = folder / f"shard-{rank}"
        shard.write_text(f"state {step}")
        files.append(describe(shard, shard.name))
    write_manifest(folder, Manifest(step=step, world_size=2, files=tuple(files)))
    return folder


def test_checkpoint_that_lost_a_shard_is_never_chosen(stage):
    before, newest = save(stage, 4), save(stage, 8)
    (newest / "shard-1").unlink()

    assert newest_valid(stage.checkpoints, digests=True)[0] == before


def test_pruning_keeps_the_newest(stage):
    folders = [save(stage, step) for step in (4, 8, 12, 16)]

    prune(stage, keep=2)

    assert checkpoint_folders(stage.checkpoints) == [folders[3], folders[2]]


def test_pruning_never_removes_the_newest_valid_one(stage):
    whole, *torn = [save(stage, step) for step in (4, 8, 12)]
    for folder in torn:
        (folder / "shard-0").write_text("")

    prune(stage, keep=1)

    assert checkpoint_folders(stage.checkpoints) == [torn[1], whole]


def test_pruning_removes_what_a_killed_save_left(stage):
    newest = save(stage, 8)
    left = stage.checkpoints / ".step-00000006"
    left.mkdir()
    (left / "shard-0").write_text("half of a state")

    prune(stage, keep=1)

    assert list(stage.checkpoints.iterdir()) == [newest]


def draws():
    """One number from each generator."""
    return random.random(), float(np.random.random()), float(torch.rand(()))


def test_random_state_brings_every_generator_back(tmp_path):
    torch.save(random_state(), tmp_path / "random.pt")
    expected = draws()
    draws()

    restore_random_state(torch.load(tmp_path / "random.pt", weights_only=False))

    assert draws() == expected
