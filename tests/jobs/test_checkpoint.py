"""Checkpoints: what is kept, what is chosen, and what a kill in the middle leaves."""

import random
import signal
import subprocess
import sys

import numpy as np
import torch

from jobs.checkpoint import random_state, restore_random_state
from jobs.contract.manifest import newest_valid
from jobs.contract.paths import RunFolder
from tests.jobs.running import ROOT

RANK = """
import os, signal, sys
from pathlib import Path
import torch.distributed as dist
from jobs.checkpoint.progress import Progress, save
from jobs.contract.paths import RunFolder
from jobs.job import RefusedError
from tests.jobs.paper import paper_job

rank, folder, last = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
job = paper_job(RunFolder(folder), rank=rank, ranks=2)


class Engine:
    def save_checkpoint(self, root, *, tag, **_):
        (Path(root) / tag).mkdir(parents=True, exist_ok=True)
        if rank == 1 and last == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if rank == 1 and last == "overtaken":
            job.folder.fence.write_text("2")
        (Path(root) / tag / f"shard-{rank}").write_text("state")


dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
try:
    path, manifest = save(Engine(), job, Progress(step=5), carried={}, final=False, parent=None)
    print(path.name, [file.name for file in manifest.files], flush=True)
except RefusedError as refused:
    print(refused.fault, refused, flush=True)
    os._exit(93)
os._exit(0)
"""


def save_on_two_ranks(folder, second):
    """Saves step 5 with an engine of two shards.

    The second rank is `well`, `killed` in the middle, or `overtaken` by a newer submission then.
    """
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), str(folder), second],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
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

    checkpoints = RunFolder(tmp_path).stage("s1").checkpoints
    assert codes == [1, -signal.SIGKILL]
    assert [path.name for path in checkpoints.iterdir()] == [".step-00000005.7.0.fence-1"]
    assert newest_valid(checkpoints, digests=True) is None


def test_attempt_that_is_overtaken_while_it_saves_leaves_nothing(tmp_path):
    codes, said = save_on_two_ranks(tmp_path, "overtaken")

    words = "fenced a newer submission than number 1 of this stage exists; step 5 is not saved"
    assert (codes, said) == ([93, 93], [[words]] * 2)
    assert list(RunFolder(tmp_path).stage("s1").checkpoints.iterdir()) == []


def draws():
    """One number from each generator."""
    return random.random(), float(np.random.random()), float(torch.rand(()))


def test_random_state_brings_every_generator_back(tmp_path):
    torch.save(random_state(), tmp_path / "random.pt")
    expected = draws()
    draws()

    restore_random_state(torch.load(tmp_path / "random.pt", weights_only=False))

    assert draws() == expected
