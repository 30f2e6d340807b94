"""What a look from a node means. Pure."""

from collections.abc import Iterator
from typing import Final

from launcher.cluster.base import NoAnswer
from launcher.doctor.finding import Finding, Level
from launcher.doctor.probe import Seen
from launcher.doctor.surroundings import Python, compared

_CLOCK_S: Final = 5.0


def probed(
    seen: Seen | NoAnswer, where: str, here: Python, *, gpus: int, trains: bool
) -> Iterator[Finding]:
    """What is found on a node.

    Args:
        seen: What it told.
        where: The partition.
        here: This Python, to compare with.
        gpus: How many it should see.
        trains: It must have the packages for training.
    """
    if isinstance(seen, NoAnswer):
        yield Finding(
            level=Level.UNKNOWN,
            id="probe",
            where=where,
            what=f"no look from a node: {seen.what}",
            next="try again when a node is free, or with --wait 10m",
        )
        return
    at = f"{where}, {seen.host}"
    yield from _folder(seen, at)
    if seen.clock_s > _CLOCK_S:
        yield _warning(
            "clock",
            at,
            f"its clock is {seen.clock_s:.0f} s away from this machine's",
            "times of events and attempts do not fit together",
            "tell the site (NTP)",
        )
    lost = [name for name, found in seen.names.items() if not found]
    if lost:
        yield _warning(
            "names",
            at,
            f"host names that do not resolve there: {', '.join(lost)}",
            "the ranks of a job meet at the name of its first node",
            "tell the site, or use one node",
        )
    if seen.gpus < gpus:
        by = f" (by {seen.gpus_by})" if seen.gpus_by else ""
        yield _warning(
            "gpus-seen",
            at,
            f"the job sees {seen.gpus} GPUs{by}, the pipeline asks for {gpus}",
            "ranks would share them, or fail",
            "look at the node: nvidia-smi -L",
        )
    yield from compared(here, Python("its Python", seen.versions), where=at, trains=trains)


def _folder(seen: Seen, at: str) -> Iterator[Finding]:
    if seen.sees and seen.writes:
        gpus = f"; sees {seen.gpus} GPUs (by {seen.gpus_by})" if seen.gpus_by else ""
        what = f"sees the folder of runs and writes there{gpus}"
        yield Finding(level=Level.OK, id="probe", where=at, what=what)
        return
    act = "cannot write into" if seen.sees else "does not see"
    yield _warning(
        "folder-on-node",
        at,
        f"it {act} the folder of runs",
        "jobs find neither code nor checkpoints there",
        "set `runs`, or LAUNCHER_RUNS, to a folder that all nodes share",
    )


def _warning(id_: str, where: str, what: str, why: str, next_: str) -> Finding:
    return Finding(level=Level.WARNING, id=id_, where=where, what=what, why=why, next=next_)
