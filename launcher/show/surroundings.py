"""The queue ahead and the room on the disk, in lines."""

from launcher.disk import Disk
from launcher.queues import Queues
from launcher.words import estimate, size

_NOW_S = 30
"""A start so near is at once: the scheduler looks each few seconds."""


def queue_lines(queues: Queues) -> list[str]:
    """When Slurm would start the stages; nothing where nobody was asked."""
    told: dict[str, list[str]] = {}
    for name, wait_s in queues.waits_s.items():
        when = "at once" if wait_s <= _NOW_S else f"in {estimate(wait_s)}"
        told.setdefault(when, []).append(name)
    lines = []
    if told:
        starts = "; ".join(f"{', '.join(names)} {when}" for when, names in told.items())
        lines.append(f"queue: handed in now, Slurm would start {starts}")
    silent: dict[str, list[str]] = {}
    for name, what in queues.silent.items():
        silent.setdefault(what, []).append(name)
    lines += [
        f"queue: Slurm gives no start for {', '.join(names)}: {what}"
        for what, names in silent.items()
    ]
    return lines


def disk_line(disk: Disk) -> str:
    """Room for checkpoints, needed and free."""
    free = f"{size(disk.free_bytes)} free" if disk.free_bytes is not None else "free room unknown"
    where = f"{free} in {disk.folder}"
    parts = ", ".join(
        f"{each.stage} {each.copies} x {size(each.copy_bytes)}" for each in disk.stages
    )
    needed = [f"{size(disk.bytes)} for checkpoints ({parts})"] if parts else []
    unknown = ", ".join(disk.unknown)
    left = [f"checkpoints not known: {unknown}"] if unknown else []
    return f"disk: {'; '.join([*needed, where, *left])}"


def disk_warning(disk: Disk) -> str:
    """What to do where it does not fit; empty where it does."""
    if not disk.is_short or disk.free_bytes is None:
        return ""
    return (
        f"{disk.folder}: checkpoints need {size(disk.bytes)}, {size(disk.free_bytes)} are free; "
        "make room, lower checkpoint.keep, or set LAUNCHER_RUNS to another folder"
    )
