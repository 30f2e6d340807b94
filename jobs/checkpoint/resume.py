"""Which checkpoint a run goes on from; those that do not verify are set aside.

Notable: every rank reads a part of the bytes, so the digests of a large checkpoint are checked
as fast as it was written. What all ranks go by is what rank 0 has listed and all have found:
two ranks reading a shared disk at two moments might not see the same. A file that is there and
cannot be read is no damage, nor is one that only some nodes read as damaged: the attempt ends,
and another one, on other nodes, may find it whole.
"""

import errno
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch.distributed as dist

from jobs.contract.events import read_events
from jobs.contract.files import write_atomic
from jobs.contract.manifest import NAME, CheckpointFile, Manifest, fault_of_file, read_manifest
from jobs.contract.paths import (
    BAD_PREFIX,
    CHECKPOINT_PREFIX,
    SET_ASIDE,
    START_OVER,
    StageFolder,
)
from jobs.distributed import on_rank_0
from jobs.job import RefusedError

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
        vanished: Step of the newest checkpoint that the stage's events tell of, where there is
            none at all any more, and nobody says that this is meant so.
    """

    newest: tuple[Path, Manifest] | None
    bad: tuple[tuple[Path, str], ...] = ()
    set_aside: tuple[Path, ...] = ()
    vanished: int | None = None


@dataclass(frozen=True)
class Look:
    """What a rank has seen of some files of a checkpoint.

    Attributes:
        faults: What is wrong with a file, by its name.
        error: Why one could not be read.
    """

    faults: Mapping[str, str] = field(default_factory=dict)
    error: OSError | None = None


def find_resume_point(folder: StageFolder) -> Found:
    """The newest checkpoint whose files verify, the same one on every rank; all call it.

    Raises:
        OSError: This node cannot read what is there.
        ConnectionResetError: Another node cannot.
    """
    before, listed = on_rank_0(partial(_list, folder.checkpoints))
    bad: list[tuple[Path, str]] = []
    for path, manifest in listed:
        wrong = _wrong_on_any_rank(path, manifest)
        if manifest is not None and not wrong:
            return Found((path, manifest), tuple(bad), before)
        reason = "; ".join(wrong[:_REASONS_SHOWN])
        bad.append((on_rank_0(partial(_set_aside, path, reason)), reason))
    if on_rank_0(partial(_may_start_over, folder)):
        return Found(None)
    return Found(None, tuple(bad), before, on_rank_0(partial(_vanished, folder)))


def refuse_to_start_over(found: Found, folder: StageFolder) -> None:
    """Raises RefusedError where there were checkpoints, and none is left to go on from."""
    if found.newest is not None:
        return
    checkpoints = folder.checkpoints
    start = f"to start at step 0: touch {checkpoints / START_OVER}"
    bad = [*(path for path, _ in found.bad), *found.set_aside]
    if bad:
        reason = f"; the newest: {found.bad[0][1]}" if found.bad else ""
        raise RefusedError(
            f"none of the {len(bad)} checkpoints is valid{reason} ({bad[0]}). Mend them (its name "
            f"without `bad-`), or {start}",
            fault="checkpoints",
        )
    if found.vanished is not None:
        raise RefusedError(
            f"{checkpoints}: there is no checkpoint, but step {found.vanished} was saved there. "
            f"Put them back, or {start}",
            fault="checkpoints",
        )


def _list(checkpoints: Path) -> tuple[tuple[Path, ...], list[tuple[Path, Manifest | None]]]:
    try:
        names = sorted(os.listdir(checkpoints), reverse=True)  # noqa: PTH208 - glob hides errors
    except FileNotFoundError:
        names = []
    before = tuple(checkpoints / name for name in names if name.startswith(BAD_PREFIX))
    paths = [checkpoints / name for name in names if name.startswith(CHECKPOINT_PREFIX)]
    return before, [(path, _manifest(path)) for path in paths]


def _manifest(path: Path) -> Manifest | None:
    """The manifest of a checkpoint; None where what is there is none."""
    found = read_manifest(path)
    if found is None:  # a disk may fail for a moment
        time.sleep(SECOND_LOOK_S)
        found = read_manifest(path)
    if found is None:
        with suppress(FileNotFoundError, NotADirectoryError):
            (path / NAME).read_bytes()
    return found


def _wrong_on_any_rank(path: Path, manifest: Manifest | None) -> list[str]:
    """What is wrong with a checkpoint; each rank reads every n-th file of it."""
    if manifest is None:
        return ["no readable manifest"]
    rank, ranks = dist.get_rank(), dist.get_world_size()
    looks = [Look()] * ranks
    dist.all_gather_object(looks, _look_twice(path, manifest.files[rank::ranks]))
    troubles: list[OSError | None] = [look.error for look in looks]
    faults: dict[str, str] = {}
    # What a rank has found damaged another one reads too, on another node where there are several.
    for witness, doubting in ((0, looks[1:]), (ranks - 1, looks[:1])):
        doubted = {name for look in doubting for name in look.faults}
        again = _asked(witness, path, [each for each in manifest.files if each.name in doubted])
        troubles[witness] = troubles[witness] or again.error
        faults |= again.faults
    troubles = [told or alone_in(look, faults) for told, look in zip(troubles, looks, strict=True)]
    for of_rank, trouble in enumerate(troubles):
        if trouble is not None and of_rank == rank:
            raise trouble
    for of_rank, trouble in enumerate(troubles):
        if trouble is not None:
            raise ConnectionResetError(f"rank {of_rank} cannot read {path}: {trouble}")
    return list(faults.values())


def _asked(rank: int, path: Path, files: Sequence[CheckpointFile]) -> Look:
    """What one rank sees of files, on all ranks; all call it."""
    if not files:
        return Look()
    answer = [_look(path, files) if dist.get_rank() == rank else None]
    dist.broadcast_object_list(answer, src=rank)
    return answer[0] or Look()


def _look_twice(path: Path, files: Sequence[CheckpointFile]) -> Look:
    found = _look(path, files)
    if found.faults or found.error:  # a disk may fail for a moment
        time.sleep(SECOND_LOOK_S)
        found = _look(path, files)
    return found


def _look(path: Path, files: Sequence[CheckpointFile]) -> Look:
    faults: dict[str, str] = {}
    for file in files:
        try:
            fault = fault_of_file(path, file, digests=True)
        except FileNotFoundError as error:
            fault = f"{path / file.name}: {error.strerror}"
        except OSError as error:
            return Look(faults, error)
        if fault:
            faults[file.name] = fault
    return Look(faults)


def alone_in(look: Look, faults: Mapping[str, str]) -> OSError | None:
    """What a node reads otherwise than another one does, as an error of its disk."""
    alone = [fault for name, fault in look.faults.items() if name not in faults]
    if not alone:
        return None
    return OSError(errno.EIO, f"{alone[0]}; another node reads it as it was saved")


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


def _may_start_over(folder: StageFolder) -> bool:
    """Whether a person has said, since a checkpoint was last told of, that none is wanted."""
    try:
        said_at = (folder.checkpoints / START_OVER).stat().st_mtime
    except OSError:
        return False
    return said_at > max((at for at, _ in _told(folder)), default=0.0)


def _vanished(folder: StageFolder) -> int | None:
    """The step of the newest checkpoint that was told of; None: none, or it was set aside."""
    told_at, step = max(_told(folder), default=(0.0, None))
    try:
        set_aside_at = (folder.root / SET_ASIDE).stat().st_mtime
    except OSError:
        return step
    return None if set_aside_at > told_at else step


def _told(folder: StageFolder) -> list[tuple[float, int]]:
    """When checkpoints were told of, by any attempt, and their steps."""
    events = (event for path in folder.events.glob("*.jsonl") for event in read_events(path))
    return [(each.at, int(each.fields["step"])) for each in events if each.kind == "checkpoint"]
