"""What a foreign program says, line by line."""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

_KEPT_LINES: Final = 400
_CHUNK: Final = 1 << 20
_BREAKS: Final = re.compile(rb"[\r\n]")


class Tail:
    """Reads a growing log from where it now ends.

    The program writes the log itself: it neither waits for this process nor loses its words
    with it.

    Args:
        path: The log.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._file.seek(0, 2)
        self._part = b""
        self._last: deque[str] = deque(maxlen=_KEPT_LINES)

    def lines(self) -> Iterator[str]:
        """The lines that have come since; a progress bar that overwrites itself makes many."""
        while chunk := self._file.read(_CHUNK):
            *whole, self._part = _BREAKS.split(self._part + chunk)
            for line in whole:
                text = line.decode(errors="replace")
                if text.strip():
                    self._last.append(text)
                yield text

    def close(self) -> None:
        """Closes the log; nothing may be read after this."""
        self._file.close()

    @property
    def last(self) -> Sequence[str]:
        """The last lines, the unfinished one too."""
        part = self._part.decode(errors="replace")
        return [*self._last, *([part] if part.strip() else [])]
