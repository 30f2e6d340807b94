"""Finds the rows of a JSON file of any size, a piece at a time.

Accepted are a JSON list and JSON lines (objects one after another). Bytes are read as Latin-1,
in which a character is a byte: so a place in the text is a place in the file, whatever language
the rows are in. A row that is not plain ASCII is then read again as the UTF-8 that it is.
"""

import json
import re
from collections.abc import Iterator
from typing import BinaryIO

LONGEST_ROW = 64 << 20
"""Bytes after which what does not end is taken for broken, not for long."""

_decode = json.JSONDecoder().raw_decode
_blanks = re.compile(r"[ \t\n\r]*").match


class Scan:
    """The rows of an open file, in order: iterating gives (first byte, value) of each.

    Args:
        file: opened for reading in binary, at its start.
        piece: bytes read at once.

    Attributes:
        end: byte after the newest row.
        listed: the rows stand in a JSON list; known once the first row is.
    """

    def __init__(self, file: BinaryIO, piece: int = 4 << 20) -> None:
        self._file, self._piece, self._rows = file, piece, 0
        self._text, self._at, self._base = "", 0, 0
        self.end, self.listed = 0, True

    def __iter__(self) -> Iterator[tuple[int, object]]:
        """The rows.

        Raises:
            ValueError: it is neither form, or not JSON; says at which byte and in which row.
        """
        self.listed = self._peek() == "["
        if self.listed:
            self._at += 1
            yield from self._members()
        while self._peek():
            if self.listed or self._text[self._at] != "{":
                raise self._broken("must be a JSON list, or JSON lines; found something else")
            yield self._row()

    def _members(self) -> Iterator[tuple[int, object]]:
        if self._peek() == "]":
            self._at += 1
            return
        while True:
            yield self._row()
            mark = self._peek()
            self._at += 1
            if mark == "]":
                return
            if mark != ",":
                self._at -= 1
                raise self._broken("is not JSON: expected ',' or ']'")

    def _row(self) -> tuple[int, object]:
        self._peek()
        value, end = self._value()
        start = self._base + self._at
        text = self._text[self._at : end]
        if not text.isascii():
            try:
                value = json.loads(text.encode("latin-1").decode("utf-8"))
            except UnicodeDecodeError as error:
                raise self._broken("is not UTF-8", error.start) from error
        self._at, self.end = end, self._base + end
        self._rows += 1
        return start, value

    def _value(self) -> tuple[object, int]:
        """The value that begins here and where it ends, with as much read as that needs."""
        while True:
            try:
                value, end = _decode(self._text, self._at)
            except (ValueError, RecursionError) as error:
                if len(self._text) - self._at > LONGEST_ROW or not self._more():
                    problem = getattr(error, "msg", str(error))
                    at = getattr(error, "pos", self._at) - self._at
                    raise self._broken(f"is not JSON: {problem}", at) from error
                continue
            if end < len(self._text) or not self._more():  # a number may go on behind the piece
                return value, end

    def _peek(self) -> str:
        """The next character that is not blank, or nothing at the end of the file."""
        while True:
            blanks = _blanks(self._text, self._at)
            self._at = blanks.end() if blanks else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _more(self) -> bool:
        """Reads on; ever larger pieces, so that a long row is not read again too often."""
        rest = self._text[self._at :]
        data = self._file.read(max(self._piece, len(rest)))
        if not data:
            return False
        self._text, self._base, self._at = rest + data.decode("latin-1"), self._base + self._at, 0
        return True

    def _broken(self, problem: str, further: int = 0) -> ValueError:
        return ValueError(f"{problem} (byte {self._base + self._at + further}, row {self._rows})")
