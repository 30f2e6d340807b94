"""The end of a file that may be very large, and what is added to it. Never the whole file."""

from pathlib import Path

_BLOCK = 65_536
_MOST = 16_000_000
"""Bytes that are read at most to find the last lines: a progress bar may be one endless line."""


def last_lines(path: Path, count: int, *, before: int | None = None) -> list[str]:
    """The last lines of a file, without their ends; fewer where they are very long.

    Args:
        path: The file.
        count: How many.
        before: Only lines that begin before this byte.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        end = file.seek(0, 2) if before is None else before
        at, held = end, b""
        while at > 0 and held.count(b"\n") <= count and end - at < _MOST:
            at = max(0, at - _BLOCK)
            file.seek(at)
            held = file.read(min(_BLOCK, end - at - len(held))) + held
    lines = held.decode(errors="replace").split("\n")
    if lines[-1] == "":
        lines.pop()
    return lines[-count:] if count else []


class Tail:
    """What is added to a file from now on, in whole lines.

    Args:
        path: The file, which need not be there yet.
        at: The byte to begin at.
    """

    def __init__(self, path: Path, at: int = 0) -> None:
        self.path = path
        self._at = at
        self._held = b""

    def read(self, *, whole: bool = False) -> list[str]:
        """The lines that have come since the last time.

        Args:
            whole: Nothing more will come: what has no end of line is a line as well.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self._at)
                new = file.read(_MOST)
        except OSError:  # not there yet, or not to be read now
            new = b""
        self._at += len(new)
        *lines, self._held = (self._held + new).split(b"\n")
        if whole and self._held:
            lines.append(self._held)
            self._held = b""
        return [line.decode(errors="replace") for line in lines]


def size_of(path: Path) -> int:
    """Bytes of a file; none where it is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
