"""One row of an annotation file, in VideoChat2's formats, read into `jobs.data.items`.

Four forms, told apart by their keys:

- caption: `{"image"|"video": path, "caption": text}`
- conversation: `{"image"|"video": path, "QA": [{"i", "q", "a"}], "start"?, "end"?}`
- text only: `{"QA": [...]}`
- choice, as in MVBench: `{"video", "question", "candidates", "answer", "start"?, "end"?}`

Other keys are let pass: published files carry many of their own.
"""

from pathlib import Path

from jobs.data.errors import Fault
from jobs.data.items import CaptionItem, ChoiceItem, ConversationItem, Item, Kind, Turn


def read_row(file: Path, number: int, value: object, faults: list[Fault]) -> Item | None:
    """The item of a row; what is wrong with the row is added to `faults`.

    Args:
        file: the annotation file, for the faults.
        number: index of the row, from 0.
        value: what JSON gave.
        faults: is added to; what comes back is of use only where nothing was added.
    """
    row = _Row(file, number, value, faults)
    if row.has("QA"):
        return _read_conversation(row)
    if row.has("question"):
        return _read_choice(row)
    if row.has("caption"):
        kind, media = _read_media(row)
        return CaptionItem(kind, media, row.text("caption"))
    row.wrong("", "has none of 'caption', 'QA', 'question'")
    return None


class _Row:
    """One row under reading: gives typed fields and collects what is wrong with them."""

    def __init__(
        self, file: Path, number: int, value: object, faults: list[Fault], prefix: str = ""
    ) -> None:
        self._file, self._number, self._faults, self._prefix = file, number, faults, prefix
        self._fields: dict[str, object] = {}
        if isinstance(value, dict):
            self._fields = value
        else:
            self.wrong("", f"must be an object, is {type(value).__name__}")

    def has(self, field: str) -> bool:
        return field in self._fields

    def wrong(self, field: str, what: str) -> None:
        path = f"{self._prefix}{field}" if field else self._prefix.rstrip(".")
        self._faults.append(Fault(self._file, self._number, path, what))

    def text(self, field: str, *, may_lack: bool = False) -> str:
        value = self._fields.get(field, "")
        if not isinstance(value, str):
            self.wrong(field, f"must be text, is {type(value).__name__}")
            return ""
        if not value.strip() and not may_lack:
            self.wrong(field, "is empty" if self.has(field) else "is missing")
        return value

    def listed(self, field: str) -> list[object]:
        value = self._fields.get(field)
        if isinstance(value, list) and value:
            return value
        self.wrong(field, "must be a list with at least one entry")
        return []

    def seconds(self, field: str) -> float | None:
        value = self._fields.get(field)
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
            return float(value)
        self.wrong(field, f"must be seconds from the start of the clip, is {value!r}")
        return None

    def below(self, field: str) -> list["_Row"]:
        return [
            _Row(self._file, self._number, value, self._faults, f"{self._prefix}{field}[{i}].")
            for i, value in enumerate(self.listed(field))
        ]


def _read_media(row: _Row) -> tuple[Kind, str]:
    if row.has("image") and row.has("video"):
        row.wrong("image", "stands beside 'video'; give one")
    kind: Kind = "image" if row.has("image") else "video"
    return kind, row.text(kind)


def _read_span(row: _Row) -> tuple[float | None, float | None]:
    start_s, end_s = row.seconds("start"), row.seconds("end")
    if end_s is not None and end_s <= (start_s or 0.0):
        row.wrong("end", f"{end_s} is not after start {start_s or 0.0}")
    return start_s, end_s


def _read_conversation(row: _Row) -> ConversationItem:
    turns = tuple(
        Turn(part.text("i", may_lack=True), part.text("q", may_lack=True), part.text("a"))
        for part in row.below("QA")
    )
    start_s, end_s = _read_span(row)
    if not row.has("image") and not row.has("video"):
        return ConversationItem("text", None, turns)
    kind, media = _read_media(row)
    return ConversationItem(kind, media, turns, start_s, end_s)


def _read_choice(row: _Row) -> ChoiceItem:
    kind, media = _read_media(row)
    candidates = tuple(str(candidate) for candidate in row.listed("candidates"))
    answer = row.text("answer")
    if answer and candidates and answer not in candidates:
        row.wrong("answer", f"{answer!r} is not one of the candidates {list(candidates)}")
    start_s, end_s = _read_span(row)
    return ChoiceItem(kind, media, row.text("question"), candidates, answer, start_s, end_s)
