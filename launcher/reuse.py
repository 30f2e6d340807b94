"""Reused stages: a weights file stands for a stage, once it is seen to fit the model.

The keys and shapes are compared by `jobs.check_weights` in a process of its own, because that
needs torch and the launcher must not.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from jobs.contract.manifest import (
    NAME,
    CheckpointFile,
    Manifest,
    describe,
    faults,
    read_manifest,
    write_manifest,
)
from jobs.contract.paths import StageFolder
from jobs.contract.spec import Model
from launcher.errors import UsageError
from launcher.pipeline import Pipeline, Reuse
from launcher.reconcile.observe import SeenCheckpoint
from launcher.snapshot import find_packages

CHECK_TIMEOUT_S = 120
_NO_MODULE = "ModuleNotFoundError: No module named"


def check_reused(pipeline: Pipeline) -> tuple[dict[str, CheckpointFile], list[str]]:
    """Verifies the weights of every reused stage.

    Returns:
        The verified files by stage, and what is wrong with the others, one line each.
    """
    verified, findings = {}, []
    python = next((stage.cluster.python for stage in pipeline.stages if stage.cluster.python), None)
    for stage in pipeline.stages:
        if stage.reuse is None:
            continue
        try:
            verified[stage.name] = _check(pipeline, stage.name, stage.reuse, python)
        except UsageError as error:
            findings += error.faults
    return verified, findings


def write_done_marker(
    folder: StageFolder, weights: CheckpointFile, code_sha: str
) -> SeenCheckpoint:
    """Makes verified weights the final checkpoint of a reused stage."""
    checkpoint = folder.checkpoint(0, final=True)
    manifest = Manifest(
        step=0, files=(weights,), weights=weights.name, code_sha=code_sha, final=True
    )
    write_manifest(checkpoint, manifest)
    written_at = (checkpoint / NAME).stat().st_mtime
    return SeenCheckpoint(checkpoint, manifest, (), verified=True, written_at=written_at)


def _check(pipeline: Pipeline, name: str, reuse: Reuse, python: str | None) -> CheckpointFile:
    where = f"stages.{name}.reuse"
    path = _weights_file(where, reuse.path)
    try:
        file = describe(path, str(path))
    except OSError as error:
        raise UsageError(f"{where}: {path}: {error.strerror}; correct the path") from error
    if reuse.sha256 is not None and file.sha256 != reuse.sha256:
        raise UsageError(
            f"{where}: {path}: sha256 is {file.sha256}, the pipeline wants {reuse.sha256}; "
            "take the right file, or correct the digest"
        )
    for entry in dict.fromkeys(_entries(pipeline, name)):
        _check_keys(where, path, pipeline.model, entry, python)
    return file


def _entries(pipeline: Pipeline, name: str) -> Iterator[str]:
    """The programs that start from the weights of a stage."""
    for stage in pipeline.stages:
        if stage.init_from == name and stage.train is not None:
            yield stage.train.entry
        elif stage.init_from == name and stage.evaluate is not None:
            yield stage.evaluate.kind


def _weights_file(where: str, path: Path) -> Path:
    """The file itself, or the weights of a checkpoint folder."""
    if not path.is_dir():
        return path
    manifest = read_manifest(path)
    if manifest is None or manifest.weights is None:
        raise UsageError(
            f"{where}: {path}: no checkpoint with weights; name a weights file, or the folder of "
            "a stage's final checkpoint"
        )
    if wrong := faults(path, manifest, digests=True):
        raise UsageError([f"{where}: {fault}; take another checkpoint" for fault in wrong])
    return (path / manifest.weights).resolve()


def _check_keys(where: str, path: Path, model: Model, entry: str, python: str | None) -> None:
    """Compares keys and shapes strictly with what a stage of the model starts from."""
    command = [*shlex.split(python or shlex.quote(sys.executable)), "-m", "jobs.check_weights"]
    command += ["--model", model.model_dump_json(), "--weights", str(path), "--entry", entry]
    env = os.environ | {
        "PYTHONPATH": str(find_packages()["jobs"].parent),
        "PYTHONSAFEPATH": "1",
    }
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=CHECK_TIMEOUT_S, check=False, env=env
        )
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"{where}: {path}: not checked in {CHECK_TIMEOUT_S} s") from error
    except OSError as error:
        raise UsageError(f"{where}: {command[0]}: {error.strerror}; correct cluster.python") from (
            error
        )
    if done.returncode != 0:
        raise UsageError(f"{where}: {_why(path, command[0], done.stderr)}")
    if found := json.loads(done.stdout)["faults"]:
        raise UsageError([f"{where}: {path}: {fault}" for fault in found])


def _why(path: Path, python: str, stderr: str) -> str:
    """Why the check itself failed, and what to do."""
    last = (stderr.strip().splitlines() or ["no word"])[-1]
    if last.startswith(_NO_MODULE):
        return (
            f"{path} cannot be checked: {python} says: {last}; set cluster.python to a Python "
            "that has the packages for training (the extra [train])"
        )
    return f"{path} cannot be checked: {last}"
