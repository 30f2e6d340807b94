"""The checkpoints of a stage on the disk: made visible and removed.

Notable: a checkpoint is written into a folder with a dot in front of its name and renamed when
it is whole. A kill at any moment leaves either the whole checkpoint or a folder that nobody
looks at; a removal begins with the way back. That folder's name says whose it is: two attempts
never write into one, and none removes what itself or a newer one is writing.
"""

import re
import shutil
from contextlib import suppress
from pathlib import Path

from jobs.checkpoint.retention import removable
from jobs.contract.checkpointing import Checkpointing
from jobs.contract.files import sync_folder
from jobs.contract.manifest import (
    Manifest,
    checkpoint_folders,
    faults,
    newest_valid,
    read_manifest,
    write_manifest,
)
from jobs.contract.paths import BAD_PREFIX, CHECKPOINT_PREFIX, AttemptKey
from jobs.job import Job

BAD_KEPT = 2
"""So many of those that did not verify stay, for people to look at."""
_ASIDE = re.compile(r"^\.[^.]+\.(?P<attempt>.+)\.fence-(?P<fence>\d+)$")


def aside_of(target: Path, job: Job) -> Path:
    """Where this attempt, and no other, writes what is to become `target`."""
    return target.with_name(f".{target.name}.{job.place.attempt}.fence-{job.task.fence}")


def commit(aside: Path, target: Path, manifest: Manifest, job: Job) -> str | None:
    """Makes the checkpoint visible; gives who has taken over instead, if anybody has."""
    write_manifest(aside, manifest)  # its folder's names, too, are on the disk after this
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


def prune(job: Job, rules: Checkpointing) -> None:
    """Removes the checkpoints that no rule keeps, never the newest that is as it was saved.

    Before one goes, the newest is read back, with its digests. Those that did not verify go too,
    except the last ones. So does what a kill in the middle of a save left behind, except that of
    this attempt or of a newer one, which may be at it.
    An attempt that another has taken over removes nothing: the other one may be resuming from it.
    What the disk does not let it remove (NFS keeps files that are open) stays.
    """
    with suppress(OSError, ValueError):
        if job.taken_over() is None:
            _prune(job, rules)


def _prune(job: Job, rules: Checkpointing) -> None:
    checkpoints = job.folder.checkpoints
    found = [(path, read_manifest(path)) for path in checkpoint_folders(checkpoints)]
    kept = [(path, manifest) for path, manifest in found if manifest is not None]
    bad = _bad_but_the_newest(checkpoints)
    if removable(kept, rules) or bad:
        newest = newest_valid(checkpoints, digests=True)
        gone = [*removable(kept, rules, needed=[newest[0]]), *bad] if newest is not None else []
        for path in gone:
            with suppress(OSError):
                aside = path.rename(aside_of(path, job))
                shutil.rmtree(aside, ignore_errors=True)
    for prefix in (CHECKPOINT_PREFIX, BAD_PREFIX):
        for path in checkpoints.glob(f".{prefix}*"):
            if not _may_be_written(path.name, job):
                shutil.rmtree(path, ignore_errors=True)


def _bad_but_the_newest(checkpoints: Path) -> list[Path]:
    """Checkpoints that did not verify, without those that were set aside last."""
    bad = sorted(checkpoints.glob(f"{BAD_PREFIX}*"), key=lambda path: path.stat().st_mtime)
    return bad[:-BAD_KEPT]


def _may_be_written(aside: str, job: Job) -> bool:
    """Whether an unfinished checkpoint is of this submission and attempt or of a newer one."""
    found = _ASIDE.search(aside)
    if found is None:
        return False
    fence, attempt = int(found["fence"]), AttemptKey.parse(found["attempt"])
    own = job.place.attempt
    return fence > job.task.fence or (attempt.slurm_id == own.slurm_id and attempt >= own)
