"""A save of two ranks: whole, or not there."""

import subprocess
import sys

import pytest

from jobs.contract.manifest import faults, newest_valid, read_manifest
from jobs.contract.paths import RunFolder
from tests.jobs.ranks import ROOT


def save_on_two_ranks(folder, what):
    """Saves steps 5 and 6; gives the ranks' exit codes and what they said."""
    script = str(ROOT / "tests/jobs/checkpoint/saving.py")
    ranks = [
        subprocess.Popen(
            [sys.executable, script, "token", str(rank), "2", str(folder), what],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"},
        )
        for rank in range(2)
    ]
    said = [rank.communicate(timeout=120) for rank in ranks]
    lines = [[line for line in out.splitlines() if line.startswith("step-")] for out, _ in said]
    return [rank.returncode for rank in ranks], lines


@pytest.fixture
def checkpoints(tmp_path):
    return RunFolder(tmp_path).stage("s1").checkpoints


def test_save_holds_a_file_of_every_rank_and_digests_that_fit(tmp_path, checkpoints):
    codes, said = save_on_two_ranks(tmp_path, "well")

    newest = checkpoints / "step-00000006"
    manifest = read_manifest(newest)
    assert codes == [0, 0]
    assert said == [["step-00000005: saved", "step-00000006: saved"]] * 2
    assert [file.name for file in manifest.files] == [
        "state-00000-of-00002.safetensors",
        "state-00001-of-00002.safetensors",
        "state.json",
    ]
    assert faults(newest, manifest, digests=True) == []


def test_ranks_share_a_state_that_all_of_them_hold(tmp_path, checkpoints):
    save_on_two_ranks(tmp_path, "well")

    sizes = [file.bytes for file in read_manifest(checkpoints / "step-00000006").files[:2]]
    assert sizes == pytest.approx([20_000, 20_000], rel=0.02)  # half of 10,000 float32 each


def test_kill_of_a_rank_before_it_has_written_leaves_nothing_to_resume_from(tmp_path, checkpoints):
    codes, said = save_on_two_ranks(tmp_path, "killed")

    assert (codes, said) == ([1, -9], [[], []])
    assert [path.name[:15] for path in checkpoints.iterdir()] == [".step-00000005."]
    assert newest_valid(checkpoints, digests=True) is None


def test_attempt_that_is_overtaken_while_it_saves_leaves_nothing(tmp_path, checkpoints):
    _, said = save_on_two_ranks(tmp_path, "overtaken")

    words = "a newer submission than number 1 of this stage exists"
    assert said == [[f"step-00000005: {words}", f"step-00000006: {words}"]] * 2
    assert list(checkpoints.iterdir()) == []


def test_rank_that_cannot_write_costs_the_save_but_not_the_next_one(tmp_path, checkpoints):
    codes, said = save_on_two_ranks(tmp_path, "full")

    assert codes == [0, 0]
    assert (
        said == [["step-00000005: rank 1: [Errno 27] File too large", "step-00000006: saved"]] * 2
    )
    assert [path.name for path in checkpoints.iterdir()] == ["step-00000006"]
