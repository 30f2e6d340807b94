"""The folder of runs: seen by all nodes, and with room for what will be kept. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from db.journal import NETWORK_FILE_SYSTEMS
from launcher.disk import StageDisk
from launcher.doctor.finding import Finding, Level
from launcher.words import size

_OWN = 2
"""Files of a checkpoint that its manifest does not list: the manifest itself, and the folder."""


@dataclass(frozen=True, kw_only=True)
class Disk:
    """Where the runs lie.

    Attributes:
        folder: The folder of runs, or the nearest above it that exists.
        kind: Type of its file system; None: not known.
        free_bytes: What this user may still write; None: it does not say.
        free_files: How many files more; None: it does not say, or has no such limit.
        writable: This user may write there.
        code_bytes: Size of the code snapshot.
        code_files: Files of the code snapshot.
        quota: Limits that `quota` says are nearly used up, in its words.
        nodes_are_here: The nodes are this machine; None: Slurm did not say.
    """

    folder: str
    kind: str | None
    free_bytes: int | None = None
    free_files: int | None = None
    writable: bool = True
    code_bytes: int = 0
    code_files: int = 0
    quota: tuple[str, ...] = ()
    nodes_are_here: bool | None = False


def is_shared(disk: Disk) -> bool | None:
    """Whether other machines can see it; None: not known."""
    if disk.kind is None:
        return None
    return disk.kind in NETWORK_FILE_SYSTEMS or disk.kind.startswith("fuse.")


def sharing(disk: Disk) -> Finding:
    """Whether the nodes see the folder."""
    shared = is_shared(disk)
    if shared or disk.nodes_are_here:
        how = disk.kind if shared else f"{disk.kind}, and the nodes are this machine"
        return Finding(level=Level.OK, id="shared", where=disk.folder, what=f"nodes see it ({how})")
    if shared is None or disk.nodes_are_here is None:
        unsaid = (
            "/proc/mounts does not say what it lies on"
            if shared is None
            else f"it lies on {disk.kind}, and Slurm does not say which machines the nodes are"
        )
        return Finding(
            level=Level.UNKNOWN,
            id="shared",
            where=disk.folder,
            what=f"whether the nodes see it: {unsaid}",
            next="launcher doctor FILE --probe looks from a node",
        )
    return Finding(
        level=Level.WARNING,
        id="shared",
        where=disk.folder,
        what=f"lies on {disk.kind}, which as a rule only this machine sees",
        why="jobs on the nodes find neither code nor checkpoints there",
        next="set `runs`, or LAUNCHER_RUNS, to a shared folder; launcher doctor FILE --probe looks "
        "from a node",
    )


def room(
    disk: Disk, needed: Sequence[StageDisk] = (), unknown: Sequence[str] = ()
) -> Iterator[Finding]:
    """Whether there is room, in bytes and in files.

    Args:
        disk: What is there.
        needed: What the checkpoints of stages need.
        unknown: The stages of which nobody knows it.
    """
    if not disk.writable:
        yield Finding(
            level=Level.WARNING,
            id="not-writable",
            where=disk.folder,
            what="this user may not write there",
            why="no run folder can be made",
            next="set `runs`, or LAUNCHER_RUNS, to a folder of yours",
        )
    for line in disk.quota:
        yield Finding(
            level=Level.WARNING,
            id="quota",
            where=disk.folder,
            what=line,
            why="a save fails when the quota is used up",
            next="make room, or ask for more",
        )
    need_bytes = disk.code_bytes + sum(each.bytes for each in needed)
    need_files = disk.code_files + sum(each.copies * (each.copy_files + _OWN) for each in needed)
    yield from _enough(disk, need_bytes, need_files, of=", ".join(each.stage for each in needed))
    if unknown:
        yield Finding(
            level=Level.UNKNOWN,
            id="room-unknown",
            where=disk.folder,
            what=f"room for checkpoints of {', '.join(unknown)}: their size is not known before a "
            "run of this pipeline has saved",
            next="submit it, and ask again once each stage has saved",
        )


def _enough(disk: Disk, need_bytes: int, need_files: int, *, of: str) -> Iterator[Finding]:
    what_for = f"code and the checkpoints of {of} that are kept" if of else "the code snapshot"
    is_short = False
    if disk.free_bytes is not None and need_bytes > disk.free_bytes:
        is_short = True
        free, need = map(size, (disk.free_bytes, need_bytes))
        yield _no_room(disk, f"{free} are free", need, what_for)
    if disk.free_files is not None and need_files > disk.free_files:
        is_short = True
        yield _no_room(disk, f"{disk.free_files} files are free", f"{need_files}", what_for)
    if not is_short and disk.free_bytes is not None:
        yield Finding(
            level=Level.OK,
            id="room",
            where=disk.folder,
            what=f"{size(disk.free_bytes)} free, {size(need_bytes)} needed for {what_for}",
        )


def _no_room(disk: Disk, free: str, need: str, what_for: str) -> Finding:
    return Finding(
        level=Level.WARNING,
        id="room",
        where=disk.folder,
        what=f"{free}, {need} needed for {what_for}",
        why="a save that finds no room fails; training goes on for checkpoint.max_unsaved, then "
        "stops",
        next="make room, keep fewer (checkpoint.keep), or set `runs` to another folder",
    )
