"""The checkpoints of a stage on the disk: made visible, removed, and chosen to resume from.

Notable: a checkpoint is written into a folder with a dot in front of its name and renamed when
it is whole. A kill at any moment leaves either the whole checkpoint or a folder that nobody
looks at. The folder's name says whose it is: two attempts never write into one, and none
removes what a newer one is writing.
"""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from jobs.contract.files import sync_folder
from jobs.contract.manifest import (
    Manifest,
    checkpoint_folders,
    faults,
    newest_valid,
    read_manifest,
    write_manifest,
)
from jobs.contract.paths import CHECKPOINT_PREFIX, AttemptKey, StageFolder
from jobs.distributed import on_rank_0
from jobs.job import Job

_ASIDE = re.compile(r"^\.[^.]+\.(?P<attempt>.+)\.fence-(?P<fence>\d+)$")
_REASONS_SHOWN = 3


def aside_of(target: Path, job: Job) -> Path:
    """Where this attempt, and no other, writes what is to become `target`."""
    return target.with_name(f".{target.name}.{job.place.attempt}.fence-{job.task.fence}")


def commit(aside: Path, target: Path, manifest: Manifest, job: Job) -> str | None:
    """Makes the checkpoint visible; gives who has taken over instead, if anybody has."""
    for path in aside.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    write_manifest(aside, manifest)
    # The files may have taken minutes, and this process may have slept in between.
    taken_over = job.taken_over()
    if taken_over is not None or _is_valid(target):
        shutil.rmtree(aside, ignore_errors=True)
        return taken_over
    shutil.rmtree(target, ignore_errors=True)
    # Fails where another attempt's checkpoint has come there meanwhile: that one stays.
    aside.rename(target)
    sync_folder(target.parent)
    return None


def _is_valid(folder: Path) -> bool:
    manifest = read_manifest(folder)
    return manifest is not None and not faults(folder, manifest, digests=True)


def prune(job: Job, keep: int) -> None:
    """Removes old checkpoints, never the newest `keep` ones nor the newest valid one.

    And what a kill in the middle of a save left behind, except that of a newer attempt, which
    may be at it. A file that cannot be removed (NFS keeps those that are open) is no reason
    to end the training.
    """
    checkpoints = job.folder.checkpoints
    newest = newest_valid(checkpoints, digests=False)
    for path in checkpoint_folders(checkpoints)[keep:]:
        if newest is None or path != newest[0]:
            shutil.rmtree(path, ignore_errors=True)
    for path in checkpoints.glob(f".{CHECKPOINT_PREFIX}*"):
        if not _is_newer(path.name, job):
            shutil.rmtree(path, ignore_errors=True)


def _is_newer(aside: str, job: Job) -> bool:
    """Whether an unfinished checkpoint is that of a newer submission or attempt than ours."""
    found = _ASIDE.search(aside)
    if found is None:
        return False
    fence, attempt = int(found["fence"]), AttemptKey.parse(found["attempt"])
    own = job.place.attempt
    return fence > job.task.fence or (attempt.slurm_id == own.slurm_id and attempt > own)


@dataclass(frozen=True)
class Found:
    """What there is to resume from.

    Attributes:
        newest: The newest checkpoint that verifies, and its manifest; None: there is none.
        bad: Newer ones that do not, newest first, each with the reason.
    """

    newest: tuple[Path, Manifest] | None
    bad: tuple[tuple[Path, str], ...] = ()


def find_resume_point(folder: StageFolder) -> Found:
    """The newest checkpoint whose files verify, the same one on every rank.

    Rank 0 looks, the others are told: two ranks reading a shared disk at two moments might
    not see the same.
    """
    return on_rank_0(lambda: _look_for(folder.checkpoints))


def _look_for(checkpoints: Path) -> Found:
    bad: list[tuple[Path, str]] = []
    for path in sorted(checkpoints.glob(f"{CHECKPOINT_PREFIX}*"), reverse=True):
        manifest = read_manifest(path)
        wrong = ["no readable manifest"] if manifest is None else None
        if manifest is not None:
            wrong = faults(path, manifest, digests=True)
            if not wrong:
                return Found((path, manifest), tuple(bad))
        bad.append((path, "; ".join((wrong or [])[:_REASONS_SHOWN])))
    return Found(None, tuple(bad))
