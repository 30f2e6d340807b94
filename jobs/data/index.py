"""Where each row of an annotation file begins, so that ten million rows need no memory.

The index is built once, by whichever process asks first, while the others wait for it. It lies
in a folder `.rows` beside the annotation file or, where that cannot be written, below
`$XDG_CACHE_HOME` (`~/.cache`). It is that file's as long as size and time of change agree.

A row is read with two `pread`s when it is asked for. Nothing is mapped and nothing kept: what
was read stays in the kernel's page cache, once for all processes of a node, and a file that goes
away is an error here, where a mapping would kill the process.
"""

import fcntl
import hashlib
import json
import os
import socket
import sys
import weakref
from array import array
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from jobs.data.errors import AnnotationsError, Fault
from jobs.data.items import FORMS, Item
from jobs.data.rows import read_row
from jobs.data.scan import Scan

FORMAT = 1
FOLDER = ".rows"
HEADER_BYTES = 512
KEPT_FAULTS = 1_000
"""Faulty rows that are described; the others are counted."""
_WRITTEN_AT_ONCE = 1 << 17
_PLACES = "Q"
_PLACE_BYTES = array(_PLACES).itemsize

_decode = json.JSONDecoder().raw_decode


@dataclass(frozen=True)
class Header:
    """What an index says of its file.

    Attributes:
        rows: how many it has, at least one.
        kinds: how many of each kind of media, as the rows themselves say it.
        forms: how many of each form: caption, conversation, choice.
    """

    rows: int
    kinds: dict[str, int]
    forms: dict[str, int]


class Index:
    """The rows of one annotation file, each read when asked for.

    Pickled (for a worker that is not forked) it is opened again at the other end.

    Args:
        annotations: the annotation file.
        place: its index.

    Attributes:
        annotations: the annotation file.
        place: its index.
        header: what was counted when it was built.

    Raises:
        OSError: one of the two cannot be read.
        ValueError: the index is no index of this file as it is now.
    """

    def __init__(self, annotations: Path, place: Path) -> None:
        self.annotations, self.place = annotations, place
        self._rows_in = self._open(annotations)
        self._places_in = self._open(place)
        known = json.loads(os.pread(self._places_in, HEADER_BYTES, 0))
        if known.pop("key") != _key(self._rows_in):
            raise ValueError(f"{place} is the index of another state of the file")
        self.header = Header(**known)
        wanted = HEADER_BYTES + _PLACE_BYTES * (self.header.rows + 1)
        if os.fstat(self._places_in).st_size != wanted:
            raise ValueError(f"{place} is cut short")

    def __len__(self) -> int:
        return self.header.rows

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return open_index, (self.annotations,)

    def item(self, row: int) -> Item:
        """Reads one row, counted from 0.

        Raises:
            AnnotationsError: it cannot be read any more, or is not what it was.
        """
        faults: list[Fault] = []
        try:
            at = array(_PLACES, os.pread(self._places_in, 2 * _PLACE_BYTES, self._offset(row)))
            text = os.pread(self._rows_in, at[1] - at[0], at[0]).decode("utf-8")
            item = read_row(self.annotations, row, _decode(text)[0], faults)
        except (OSError, ValueError, IndexError) as error:
            what = f"changed under the run ({error}); put the old file back, or start anew"
            raise AnnotationsError([Fault(self.annotations, row, "", what)]) from error
        if item is None or faults:
            raise AnnotationsError(faults)
        return item

    def _offset(self, row: int) -> int:
        return HEADER_BYTES + _PLACE_BYTES * row

    def _open(self, path: Path) -> int:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, descriptor)
        return descriptor


def open_index(annotations: Path) -> Index:
    """The index of an annotation file, built if there is none of its present state.

    Many processes, also of several nodes, may ask at once: one builds. Where a file system has
    no locks each builds its own and moves it into place whole.

    Raises:
        AnnotationsError: the file cannot be read, has faulty rows (the build looks at every
            one), or there is no place where an index can be written.
    """
    _look_at(annotations)
    places = _places(annotations)
    for place in places:
        if found := _existing(annotations, place):
            return found
    refused = []
    for place in places:
        try:
            with _alone(place) as aside:
                return _existing(annotations, place) or _built(annotations, place, aside)
        except OSError as error:
            refused.append(f"{place.parent} ({error.strerror})")
    what = f"no index of its rows can be written: {', '.join(refused)}; "
    what += "set XDG_CACHE_HOME to a folder that can be written and has room"
    raise AnnotationsError([Fault(annotations, None, "", what)])


def _places(annotations: Path) -> tuple[Path, Path]:
    """Where the index may lie, the best first."""
    whole = annotations.absolute()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(str(whole).encode()).hexdigest()[:16]
    return (
        whole.parent / FOLDER / f"{whole.name}.index",
        cache / "videochat2-launcher" / "rows" / f"{digest}-{whole.name}.index",
    )


def _existing(annotations: Path, place: Path) -> Index | None:
    try:
        return Index(annotations, place)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _look_at(annotations: Path) -> None:
    try:
        annotations.open("rb").close()
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
        raise AnnotationsError([Fault(annotations, None, "", what)]) from error


@contextmanager
def _alone(place: Path) -> Iterator[Path]:
    """Keeps other builders of this index waiting; gives the file to write before it is moved.

    The lock is the kernel's: a builder that is killed leaves it free, and its half file under
    the name that the next one writes over.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("ab") as lock:
        if _locked(lock.fileno()):
            yield place.with_suffix(".part")
        else:
            yield place.with_suffix(f".{socket.gethostname()}-{os.getpid()}.part")


def _locked(descriptor: int) -> bool:
    """Waits for the lock; False where the file system has none."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


def _built(annotations: Path, place: Path, aside: Path) -> Index:
    """Builds the index and moves it into place."""
    with aside.open("wb") as out:
        try:
            key, header = _write(annotations, out)
        except AnnotationsError:
            aside.unlink()
            raise
        text = json.dumps({"key": key, **vars(header)})
        out.seek(0)
        out.write(text.encode().ljust(HEADER_BYTES))
        out.flush()
        os.fsync(out.fileno())
    aside.replace(place)
    return Index(annotations, place)


def _write(annotations: Path, out: BinaryIO) -> tuple[dict[str, Any], Header]:
    """Writes where the rows begin behind the room for the header; looks at every row."""
    kinds: Counter[str] = Counter()
    forms: Counter[str] = Counter()
    found = _Found()
    begins, rows = array(_PLACES), 0
    out.write(bytes(HEADER_BYTES))
    with annotations.open("rb") as file:
        key, scan = _key(file.fileno()), Scan(file)
        try:
            for rows, (begin, value) in enumerate(scan, 1):
                begins.append(begin)
                item = read_row(annotations, rows - 1, value, found.new)
                if found.new:
                    found.keep()
                elif item is not None:
                    kinds[item.kind] += 1
                    forms[FORMS[type(item)]] += 1
                if len(begins) == _WRITTEN_AT_ONCE:
                    begins.tofile(out)
                    del begins[:]
        except ValueError as error:
            found.whole(annotations, str(error))
        else:
            _judge_whole(annotations, rows, scan, found)
        if key != _key(file.fileno()):
            found.whole(annotations, "was written to while it was read; wait and start again")
    if found.total:
        raise AnnotationsError(found.kept, found.total)
    begins.append(scan.end)
    begins.tofile(out)
    return key, Header(rows, dict(kinds), dict(forms))


def _judge_whole(annotations: Path, rows: int, scan: Scan, found: "_Found") -> None:
    if not rows:
        found.whole(annotations, "must be a JSON list with at least one row")
    elif rows == 1 and not scan.listed and annotations.suffix == ".json":
        found.kept.clear()  # a dictionary around the rows, mostly: its keys are no row's
        found.total = 0
        found.whole(annotations, "must be a JSON list of rows, is one object")


@dataclass
class _Found:
    """Faults, of which only the first are kept."""

    new: list[Fault] = field(default_factory=list)
    kept: list[Fault] = field(default_factory=list)
    total: int = 0

    def keep(self) -> None:
        self.total += len(self.new)
        self.kept += self.new[: max(0, KEPT_FAULTS - len(self.kept))]
        self.new.clear()

    def whole(self, file: Path, what: str) -> None:
        """A fault of the file as a whole goes before those of its rows."""
        self.kept.insert(0, Fault(file, None, "", what))
        self.total += 1


def _key(descriptor: int) -> dict[str, Any]:
    """What an index must agree with: this format, and the present state of the file."""
    state = os.fstat(descriptor)
    return {
        "format": FORMAT,
        "byteorder": sys.byteorder,
        "bytes": state.st_size,
        "changed_ns": state.st_mtime_ns,
    }
