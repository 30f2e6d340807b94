"""What can be wrong with data.

```
DataError
├── AnnotationsError       an annotation file or its media root, mostly when it is opened
├── UnreadableClipError    one media file does not decode
├── TooManyBadClipsError   so many do not decode that training on the rest would be wrong
└── OtherSetError          a folder already holds another synthetic set
```
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SHOWN_FAULTS = 10


class DataError(Exception):
    """Base of all that is wrong with annotations and media files."""


@dataclass(frozen=True)
class Fault:
    """One thing wrong in one annotation file.

    Attributes:
        file: the annotation file.
        row: index of the row, from 0; None where the file as a whole is meant.
        field: path inside the row, such as `QA[1].a`; empty for the row itself.
        what: what is wrong with it.
    """

    file: Path
    row: int | None
    field: str
    what: str

    def __str__(self) -> str:
        place = [str(self.file)]
        if self.row is not None:
            place.append(f"row {self.row}")
        if self.field:
            place.append(self.field)
        return f"{': '.join(place)}: {self.what}"


class AnnotationsError(DataError):
    """An annotation file with faults; the first ten are in the text.

    Attributes:
        faults: what is wrong; of very many only the first are kept.
        total: how many there are.
    """

    def __init__(self, faults: Sequence[Fault], total: int | None = None) -> None:
        self.faults = tuple(faults)
        self.total = len(self.faults) if total is None else total
        lines = [str(fault) for fault in self.faults[:SHOWN_FAULTS]]
        if self.total > SHOWN_FAULTS:
            lines.append(f"... and {self.total - SHOWN_FAULTS} more faults")
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[type["AnnotationsError"], tuple[tuple[Fault, ...], int]]:
        return type(self), (self.faults, self.total)


class UnreadableClipError(DataError):
    """A media file that does not decode.

    Attributes:
        path: the file.
        error_class: name of the decoder's error, the same on every machine, to count by.
        text: the decoder's words without its time stamp and source path.
    """

    def __init__(self, path: Path, error_class: str, text: str) -> None:
        self.path, self.error_class, self.text = path, error_class, text
        super().__init__(f"{path}: {error_class}: {text}")

    def __reduce__(self) -> tuple[type["UnreadableClipError"], tuple[Path, str, str]]:
        return type(self), (self.path, self.error_class, self.text)


class TooManyBadClipsError(DataError):
    """More clips of a set are unreadable than the run allows."""


class OtherSetError(DataError):
    """The folder holds a synthetic set made with other arguments."""
