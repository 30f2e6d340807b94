"""The manifest of a checkpoint: written last, so its presence says that the rest is there.

Other markers do not: DeepSpeed's `latest` is written before the other ranks' shards are on
the disk, so a kill between the two leaves a checkpoint that some ranks can load and others
cannot.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jobs.contract.files import write_atomic
from jobs.contract.paths import CHECKPOINT_PREFIX

NAME = "manifest.json"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class CheckpointFile:
    """One file of a checkpoint.

    Attributes:
        name: Path relative to the checkpoint folder; absolute for a reused weights file, and for
            what another program has saved.
        bytes: Size.
        sha256: Digest, hexadecimal; empty: only the size is known.
    """

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a checkpoint holds.

    Attributes:
        step: Optimizer steps done.
        epoch: Epochs done or begun, from 0.
        samples_seen: Samples trained on since step 0.
        world_size: Ranks that wrote it.
        files: Every file beside the manifest.
        weights: Name of the file (one of `files`) another stage can start from, if there is one.
        save_s: Seconds the save took.
        parent: Checkpoint that the attempt had resumed or started from.
        code_sha: Git commit of the code that ran.
        final: The stage is done with this checkpoint.
        ends_epoch: An epoch ended with it.
        loss: Mean training loss of the steps since the checkpoint before it.
        source: The checkpoint as another program has saved it; `files` lie there.
    """

    step: int
    epoch: int = 0
    samples_seen: int = 0
    world_size: int = 1
    files: tuple[CheckpointFile, ...]
    weights: str | None = None
    save_s: float = 0.0
    parent: str | None = None
    code_sha: str = ""
    final: bool = False
    ends_epoch: bool = False
    loss: float | None = None
    source: str | None = None

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(file.bytes for file in self.files)


def describe(path: Path, name: str) -> CheckpointFile:
    """Size and digest of the file at `path`, to be listed as `name`."""
    return CheckpointFile(name=name, bytes=path.stat().st_size, sha256=sha256_of(path))


def sha256_of(path: Path) -> str:
    """Digest of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Puts the manifest into `folder`, whole or not at all."""
    write_atomic(folder / NAME, json.dumps(asdict(manifest), indent=1))


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a checkpoint folder; None where it is missing or unreadable."""
    try:
        return _parse(json.loads((folder / NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _parse(fields: dict[str, Any]) -> Manifest:
    """A manifest from JSON values; raises TypeError, ValueError or KeyError for anything else.

    By hand: pydantic would cost `launcher status` a fifth of its time.
    """
    files = tuple(CheckpointFile(**file) for file in fields.pop("files"))
    manifest = Manifest(files=files, **fields)
    numbers = (manifest.step, manifest.world_size, *(file.bytes for file in files))
    names = [*(file.name for file in files), *(file.sha256 for file in files)]
    if not all(type(number) is int for number in numbers) or type(manifest.final) is not bool:
        raise ValueError("a number is no number")
    if not all(isinstance(name, str) for name in names):
        raise ValueError("a name is no text")
    return manifest


def faults(folder: Path, manifest: Manifest, *, digests: bool) -> list[str]:
    """What is wrong with the files of a checkpoint; empty when it is valid.

    Args:
        folder: The checkpoint folder.
        manifest: Its manifest.
        digests: Also read every byte and compare digests (slow for many GB).
    """
    found = []
    for file in manifest.files:
        try:
            fault = fault_of_file(folder, file, digests=digests)
        except OSError as error:
            fault = f"{folder / file.name}: {error.strerror}"
        if fault:
            found.append(fault)
    return found


def fault_of_file(folder: Path, file: CheckpointFile, *, digests: bool) -> str:
    """What is wrong with one file of a checkpoint; empty when it is as it was saved.

    Raises:
        OSError: It is not there, or nobody can say what is in it.
    """
    path = folder / file.name
    size = path.stat().st_size
    if size != file.bytes:
        return f"{path}: {size} bytes, the manifest says {file.bytes}"
    if digests and file.sha256 and sha256_of(path) != file.sha256:
        return f"{path}: the content is not what was saved (digest differs)"
    return ""


def checkpoint_folders(checkpoints: Path) -> list[Path]:
    """Checkpoint folders that have a manifest, newest step first."""
    found = checkpoints.glob(f"{CHECKPOINT_PREFIX}*/{NAME}")
    return sorted((path.parent for path in found), reverse=True)


def newest_valid(checkpoints: Path, *, digests: bool) -> tuple[Path, Manifest] | None:
    """The newest checkpoint that verifies; None when there is none."""
    for folder in checkpoint_folders(checkpoints):
        manifest = read_manifest(folder)
        if manifest is not None and not faults(folder, manifest, digests=digests):
            return folder, manifest
    return None


def done_marker(checkpoints: Path, *, digests: bool) -> tuple[Path, Manifest] | None:
    """The valid final checkpoint of a stage: the only proof that the stage is done."""
    newest = newest_valid(checkpoints, digests=digests)
    return newest if newest is not None and newest[1].final else None
