"""Which rank of an attempt failed first, and its traceback."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.contract.events import read_events
from jobs.contract.paths import AttemptKey, StageFolder
from jobs.contract.story import read_story

_SEARCHED = 1_000_000
"""Bytes at the end of a log in which a traceback is looked for."""
_BEGIN = b"Traceback (most recent call last):"


@dataclass(frozen=True)
class Fault:
    """The first failure of an attempt.

    Attributes:
        rank: The rank that failed first.
        log: Its log.
        message: What it said at its end; empty: only its log tells.
        traceback: Its last traceback; empty: there is none in its log.
        begins_at: Byte of the log at which that begins.
    """

    rank: int
    log: Path
    message: str
    traceback: tuple[str, ...]
    begins_at: int


def first_fault(folder: StageFolder, key: AttemptKey) -> Fault | None:
    """The first failure; None where no rank tells of one.

    The ranks' event files say it: all but the first saw only that another one was gone. A rank that
    was killed, or failed outside of our code, tells nothing: then the oldest log that ends in a
    traceback counts.
    """
    story = read_story(folder.events_file(key))
    if story.outcome == "failed" or (story.outcome is None and story.message):
        return _fault(folder, key, _rank_of(folder, key, story.message or ""), story.message or "")
    if story.outcome is not None:
        return None
    return _by_logs(folder, key)


def _rank_of(folder: StageFolder, key: AttemptKey, message: str) -> int:
    """The rank that a story's message is of: only those of other ranks than 0 are named in it."""
    named = message.removeprefix("rank ").partition(":")[0]
    rank = int(named) if message.startswith("rank ") and named.isdigit() else 0
    told = any(event.kind == "exit" for event in read_events(folder.events_file(key, rank)))
    return rank if told else 0


def _by_logs(folder: StageFolder, key: AttemptKey) -> Fault | None:
    found = [_fault(folder, key, rank, "") for rank in ranks_of(folder, key)]
    ends = [each for each in found if each.traceback]
    return min(ends, key=lambda each: (each.log.stat().st_mtime, each.rank), default=None)


def _fault(folder: StageFolder, key: AttemptKey, rank: int, message: str) -> Fault:
    log = folder.log_file(key, rank)
    begins_at, lines = last_traceback(log)
    return Fault(rank, log, message, lines, begins_at)


def ranks_of(folder: StageFolder, key: AttemptKey) -> list[int]:
    """The ranks that have a log."""
    logs = folder.log_file(key, 0).parent.glob("rank-*.log")
    return sorted(int(path.stem.partition("-")[2]) for path in logs)


def last_traceback(log: Path) -> tuple[int, tuple[str, ...]]:
    """Where the last traceback near the end of a log begins, and its lines, causes included."""
    try:
        with log.open("rb") as file:
            start = max(0, file.seek(0, 2) - _SEARCHED)
            file.seek(start)
            held = file.read(_SEARCHED)
    except OSError:
        return 0, ()
    at = held.rfind(_BEGIN)
    if at < 0:
        return 0, ()
    at = held.rfind(b"\n", 0, at) + 1  # torchrun writes the rank before it
    at = _with_causes(held, at)
    lines = held[at:].decode(errors="replace").split("\n")
    return start + at, tuple(_until_its_end(lines))


def _with_causes(held: bytes, at: int) -> int:
    """Where the chain begins that a traceback ends: the first of them is what went wrong."""
    joints = (b"was the direct cause of the following", b"another exception occurred:")
    while True:
        before = held.rfind(_BEGIN, 0, at)
        if before < 0 or not any(joint in held[before:at][-120:] for joint in joints):
            return at
        at = held.rfind(b"\n", 0, before) + 1


def _until_its_end(lines: Sequence[str]) -> list[str]:
    """A traceback without what the log says after it."""
    last = max(
        (at for at, line in enumerate(lines) if line.lstrip().startswith("File ")), default=0
    )
    for at in range(last + 1, len(lines)):
        if lines[at] and not lines[at][0].isspace():  # the exception itself
            return list(lines[: at + 1])
    return [line for line in lines if line]
