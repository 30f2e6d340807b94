"""Lines of logs on stdout; which attempt and rank they are of on stderr."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from launcher.logs.fault import Fault
from launcher.logs.follow import Line, Turn, Waits
from launcher.logs.tail import last_lines
from launcher.show.console import Screen


def show_lines(screen: Screen, lines: Iterable[str], rank: int | None) -> None:
    """Shows lines as they are, with the rank before each where one is given."""
    before = "" if rank is None else f"{rank}: "
    for line in lines:
        screen.text(before + line)


def show_fault(screen: Screen, stage: str, name: str, fault: Fault, count: int) -> None:
    """Shows the traceback of the rank that failed first, then what its log says before it."""
    said = f": {fault.message.removeprefix(f'rank {fault.rank}: ')}" if fault.message else ""
    screen.say(f"{stage}, {name}: rank {fault.rank} failed first{said}; its log: {fault.log}")
    show_lines(screen, fault.traceback, None)
    before = fault.begins_at if fault.traceback else None
    try:
        lines = last_lines(fault.log, count, before=before)
    except OSError:  # it ended before it had one
        lines = []
    if lines:
        screen.out.file.flush()
        screen.say(f"the last {len(lines)} lines before that:" if fault.traceback else "its end:")
        show_lines(screen, lines, None)


def show_outputs(screen: Screen, outputs: Sequence[Path], count: int) -> None:
    """Shows the ends of what submitit caught."""
    for path in outputs:
        screen.out.file.flush()
        screen.say(f"what the batch script said: {path}")
        show_lines(screen, last_lines(path, count), None)


def show_following(
    screen: Screen, stage: str, told: Iterable[Line | Turn | Waits], *, ranks: bool
) -> None:
    """Shows lines as they come."""
    for each in told:
        if isinstance(each, Line):
            show_lines(screen, [each.text], each.rank if ranks else None)
        elif isinstance(each, Turn):
            screen.say(f"--- {stage}, {each.attempt.name} ---")
        else:
            screen.say(f"{stage}: no log yet: {each.why}")
        screen.out.file.flush()
