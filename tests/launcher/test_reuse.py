"""Reused weights are seen to be the right ones before anything is submitted."""

import hashlib
import shutil
from pathlib import Path

import pytest

from jobs.contract.manifest import CheckpointFile, Manifest, describe, write_manifest
from launcher.reuse import check_reused
from tests.launcher.worlds import make_pipeline, make_python

DIGEST = hashlib.sha256(b"weights").hexdigest()


def findings(folder: Path, *overrides: str) -> list[str]:
    """What is wrong, without the folder's name."""
    _, found = check_reused(make_pipeline(folder, overrides))
    return [line.replace(f"{folder}/", "") for line in found]


def test_right_file_is_described_by_its_absolute_path(tmp_path: Path) -> None:
    verified, found = check_reused(make_pipeline(tmp_path))

    weights = str(tmp_path / "weights" / "first.pth")
    assert (verified, found) == (
        {"first": CheckpointFile(name=weights, bytes=7, sha256=DIGEST)},
        [],
    )


def test_keys_are_checked_against_what_starts_from_the_file(tmp_path: Path) -> None:
    check_reused(make_pipeline(tmp_path))

    (line,) = (tmp_path / "checked").read_text().splitlines()
    assert line.startswith("-m jobs.check_weights --model {")
    assert line.endswith(f"--weights {tmp_path}/weights/first.pth --entry stage2")


def test_missing_file_is_a_finding(tmp_path: Path) -> None:
    assert findings(tmp_path, "stages.first.reuse=nothing.pth") == [
        "stages.first.reuse: nothing.pth: No such file or directory; correct the path"
    ]


def test_right_digest_is_accepted(tmp_path: Path) -> None:
    reuse = f"stages.first.reuse={{path: weights/first.pth, sha256: {DIGEST}}}"

    assert findings(tmp_path, reuse) == []


def test_wrong_digest_is_a_finding_that_names_both(tmp_path: Path) -> None:
    wrong = "0" * 64

    (line,) = findings(
        tmp_path, f"stages.first.reuse={{path: weights/first.pth, sha256: '{wrong}'}}"
    )

    assert DIGEST in line
    assert wrong in line


def test_python_without_torch_is_told_with_what_to_do(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path)
    python = make_python(tmp_path, "", code=1)
    text = python.read_text().replace(
        "exit 1", "echo \"ModuleNotFoundError: No module named 'torch'\" >&2; exit 1"
    )
    python.write_text(text)

    (line,) = check_reused(pipeline)[1]

    assert "No module named 'torch'; set cluster.python to a Python that has" in line


def test_python_that_does_not_exist_is_a_finding(tmp_path: Path) -> None:
    (line,) = findings(tmp_path, "cluster.python=/no/such/python")

    assert line == (
        "stages.first.reuse: /no/such/python: No such file or directory; correct cluster.python"
    )


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "step-00000003-final"
    folder.mkdir()
    (folder / "w.bin").write_bytes(b"weights")
    files = (describe(folder / "w.bin", "w.bin"),)
    write_manifest(folder, Manifest(step=3, files=files, weights="w.bin", final=True))
    return folder


def test_checkpoint_folder_gives_its_weights(tmp_path: Path, checkpoint: Path) -> None:
    verified, found = check_reused(
        make_pipeline(tmp_path, [f"stages.first.reuse={checkpoint.name}"])
    )

    assert found == []
    assert verified["first"].name == str(checkpoint / "w.bin")


def test_damaged_checkpoint_folder_is_a_finding(tmp_path: Path, checkpoint: Path) -> None:
    (checkpoint / "w.bin").write_bytes(b"WEIGHTS")

    (line,) = findings(tmp_path, f"stages.first.reuse={checkpoint.name}")

    assert "digest differs" in line


def test_folder_without_manifest_is_a_finding(tmp_path: Path, checkpoint: Path) -> None:
    shutil.copytree(checkpoint, tmp_path / "bare", ignore=shutil.ignore_patterns("manifest.json"))

    (line,) = findings(tmp_path, "stages.first.reuse=bare")

    assert line.startswith("stages.first.reuse: bare: no checkpoint with weights")
