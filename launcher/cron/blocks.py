"""Our lines in a table of somebody else: between two marks, one block for each runs folder.

All is bytes. What is not ours is the user's, in whatever encoding, and stays as it is.
Not python-crontab: it parses the whole table and writes its own rendering of all lines, and what
is needed here is to find two marks.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from launcher.errors import LauncherError

_BEGIN: Final = b"# >>> launcher requeue: "
_END: Final = b"# <<< launcher requeue: "


def block_of(table: bytes, runs: Path) -> list[str] | None:
    """The lines between the marks of a runs folder; None when it has no block.

    Raises:
        LauncherError: A mark is there without the other.
    """
    lines = _lines(table)
    place = _place(lines, runs)
    if place is None:
        return None
    return [os.fsdecode(_bare(line)) for line in lines[place][1:-1]]


def with_block(table: bytes, runs: Path, lines: Sequence[str]) -> bytes:
    """The table in which the block of a runs folder holds these lines.

    It stays where it was; a new one comes last.

    Raises:
        LauncherError: A mark is there without the other.
    """
    block = [_mark(_BEGIN, runs), *(os.fsencode(line) for line in lines), _mark(_END, runs)]
    new = [line + b"\n" for line in block]
    old = _lines(table)
    place = _place(old, runs)
    if place is not None:
        return b"".join([*old[: place.start], *new, *old[place.stop :]])
    break_line = b"\n" if table and not table.endswith(b"\n") else b""
    return b"".join([table, break_line, *new])


def without_block(table: bytes, runs: Path) -> bytes:
    """The table without the block of a runs folder.

    Raises:
        LauncherError: A mark is there without the other.
    """
    lines = _lines(table)
    place = _place(lines, runs)
    if place is None:
        return table
    return b"".join([*lines[: place.start], *lines[place.stop :]])


def folders(table: bytes) -> list[Path]:
    """The runs folders that have a block, in order."""
    return [
        Path(os.fsdecode(_bare(line)[len(_BEGIN) :]))
        for line in _lines(table)
        if line.startswith(_BEGIN)
    ]


def _lines(table: bytes) -> list[bytes]:
    """The lines with their ends; joined they are the table again."""
    return table.splitlines(keepends=True)


def _bare(line: bytes) -> bytes:
    return line.rstrip(b"\r\n")


def _mark(kind: bytes, runs: Path) -> bytes:
    return kind + os.fsencode(runs)


def _place(lines: Sequence[bytes], runs: Path) -> slice | None:
    """Where the block stands, its marks included."""
    begins, ends = (
        [number for number, line in enumerate(lines) if _bare(line) == _mark(kind, runs)]
        for kind in (_BEGIN, _END)
    )
    if not begins and not ends:
        return None
    if len(begins) != 1 or len(ends) != 1 or ends[0] < begins[0]:
        at = ", ".join(str(number + 1) for number in sorted([*begins, *ends]))
        raise LauncherError(
            f"the crontab's marks of {runs} (line {at}) are no pair; take those lines and what is "
            "between them out with `crontab -e` (or `scrontab -e`), then install again"
        )
    return slice(begins[0], ends[0] + 1)
