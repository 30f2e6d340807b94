"""Which checkpoint a run goes on from; those that do not verify are set aside.

Notable: every rank reads a part of the bytes, so the digests of a large checkpoint are checked
as fast as it was written. What all ranks go by is what rank 0 has listed and all have found:
two ranks reading a shared disk at two moments might not see the same.
"""

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch.distributed as dist

from jobs.contract.files import write_atomic
from jobs.contract.manifest import Manifest, faults, read_manifest
from jobs.contract.paths import BAD_PREFIX, CHECKPOINT_PREFIX, StageFolder
from jobs.distributed import on_rank_0

REASON = "reason.txt"
SECOND_LOOK_S = 2.0
"""Before what seems damaged is read again."""
_REASONS_SHOWN = 3


@dataclass(frozen=True)
class Found:
    """What there is to resume from.

    Attributes:
        newest: The newest checkpoint that verifies, and its manifest; None: there is none.
        bad: Newer ones that do not, newest first: where they lie now, and why.
        set_aside: Bad ones that lay aside before, newest first.
    """

    newest: tuple[Path, Manifest] | None
    bad: tuple[tuple[Path, str], ...] = ()
    set_aside: tuple[Path, ...] = ()


def find_resume_point(folder: StageFolder) -> Found:
    """The newest checkpoint whose files verify, the same one on every rank; all call it."""
    before, listed = on_rank_0(lambda: _list(folder.checkpoints))
    bad: list[tuple[Path, str]] = []
    for path, manifest in listed:
        wrong = _wrong_on_any_rank(path, manifest)
        if manifest is not None and not wrong:
            return Found((path, manifest), tuple(bad), before)
        reason = "; ".join(wrong[:_REASONS_SHOWN])
        bad.append((on_rank_0(partial(_set_aside, path, reason)), reason))
    return Found(None, tuple(bad), before)


def _list(checkpoints: Path) -> tuple[tuple[Path, ...], list[tuple[Path, Manifest | None]]]:
    before = sorted(checkpoints.glob(f"{BAD_PREFIX}*"), reverse=True)
    paths = sorted(checkpoints.glob(f"{CHECKPOINT_PREFIX}*"), reverse=True)
    return tuple(before), [(path, read_manifest(path)) for path in paths]


def _wrong_on_any_rank(path: Path, manifest: Manifest | None) -> list[str]:
    """What is wrong with a checkpoint; each rank reads every n-th file of it."""
    if manifest is None:
        return ["no readable manifest"]
    rank, ranks = dist.get_rank(), dist.get_world_size()
    own = replace(manifest, files=manifest.files[rank::ranks])
    found: list[list[str]] = [[] for _ in range(ranks)]
    wrong = faults(path, own, digests=True)
    if wrong:  # a disk may fail for a moment
        time.sleep(SECOND_LOOK_S)
        wrong = faults(path, own, digests=True)
    dist.all_gather_object(found, wrong)
    return [fault for faults_of_rank in found for fault in faults_of_rank]


def _set_aside(path: Path, reason: str) -> Path:
    """Renames a bad checkpoint, so that nobody tries it again; gives its new place.

    Where the disk does not allow it the checkpoint stays: it is passed over all the same.
    """
    target = path.with_name(f"{BAD_PREFIX}{path.name}")
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"{BAD_PREFIX}{path.name}-{number}")
    with suppress(OSError):
        write_atomic(path / REASON, f"{reason}\n")
    try:
        path.rename(target)
    except OSError:
        return path
    return target
