"""Annotation files opened as sets: rows read when asked for, media looked for.

What rows look like is in `jobs.data.rows`, where they lie in `jobs.data.index`.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Literal, TypedDict, Unpack, overload

from jobs.data.errors import AnnotationsError, Fault
from jobs.data.index import KEPT_FAULTS, Index, open_index
from jobs.data.items import KINDS, Item, Kind, MediaForm, MediaSet

MEDIA_CHECKED = 2_000
"""Media files of a set that are looked for when it is opened."""
_AT_ONCE = 10_000
_THREADS = 16
"""A shared disk answers slowly, but answers many at once."""

DeclaredKind = Literal["image", "video", "gif", "frames", "text"]
"""What a pipeline file may say that a set holds."""
_MEANS: dict[DeclaredKind, tuple[Kind, MediaForm]] = {
    "image": ("image", "file"),
    "video": ("video", "file"),
    "gif": ("video", "file"),
    "frames": ("video", "frames"),
    "text": ("text", "file"),
}


class Rows(Sequence[Item]):
    """The items of an annotation file, or of some of its rows; each is read when asked for.

    Args:
        source: where the rows are.
        rows: which of them, in this order; all by default.
        kind: taken for the kind of each, whatever the row's key says.
    """

    def __init__(self, source: Index, rows: range | None = None, kind: Kind | None = None) -> None:
        self.source, self._kind = source, kind
        self._rows = range(len(source)) if rows is None else rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, at: int) -> Item: ...
    @overload
    def __getitem__(self, at: slice) -> "Rows": ...
    def __getitem__(self, at: int | slice) -> "Item | Rows":
        """An item, or some of the rows unread.

        Raises:
            IndexError: there is no such row.
            AnnotationsError: the row cannot be read any more.
        """
        if isinstance(at, slice):
            return Rows(self.source, self._rows[at], self._kind)
        item = self.source.item(self._rows[at])
        return item if self._kind in (None, item.kind) else replace(item, kind=self._kind)

    def __eq__(self, other: object) -> bool:
        """Whether the items are the same, in the same order."""
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # equal to lists and tuples of the same items


class Declared(TypedDict, total=False):
    """What a pipeline file may say of a set beside where it lies.

    Attributes:
        name: what reports call the set; the file's stem by default.
        directional: see `MediaSet`.
        kind: what it holds, where its rows do not say; by default their keys count, and a path
            that is a folder is one of frames.
        fps: frames a second of folders of frames, which need it.
    """

    name: str | None
    directional: bool
    kind: DeclaredKind | None
    fps: float | None


def open_set(annotations: Path, root: Path, **declared: Unpack[Declared]) -> MediaSet:
    """Opens one annotation file and checks that its media are there.

    Of a large set only `MEDIA_CHECKED` files, spread over it: to look for ten million on a
    shared disk, from every rank, takes hours (`launcher data check --all` does it once). One
    that is missing all the same shows as an unreadable clip when its turn comes.

    Args:
        annotations: JSON list or JSON lines.
        root: folder that its media paths start from.
        declared: see `Declared`.

    Raises:
        AnnotationsError: with all faults at once.
    """
    opened, faults = examine_set(annotations, root, **declared)
    if not faults:
        faults = list(missing_media(opened, annotations, at_most=MEDIA_CHECKED))
    if faults:
        raise AnnotationsError(faults)
    return opened


def read_items(annotations: Path) -> Rows:
    """The rows of one annotation file, of whatever kinds, without a look at the media.

    Raises:
        AnnotationsError: with all faults at once.
    """
    return Rows(open_index(annotations))


def examine_set(
    annotations: Path, root: Path, **declared: Unpack[Declared]
) -> tuple[MediaSet, list[Fault]]:
    """As `open_set`, without a look at every media file; gives the faults of the set.

    Raises:
        AnnotationsError: faulty rows, or rows of several kinds.
    """
    kind, fps = declared.get("kind"), declared.get("fps")
    rows = read_items(annotations)
    counts = rows.source.header.kinds
    own = max(KINDS, key=lambda word: counts.get(word, 0))
    _refuse_mixed_kinds(rows, own, kind)
    faults: list[Fault] = []
    form: MediaForm = "file"
    if kind is not None:
        own, form = _MEANS[kind]
        rows = Rows(rows.source, kind=own)
    elif own == "video" and (root / str(rows[0].media)).is_dir():
        form = "frames"
    if own != "text" and not root.is_dir():
        faults.append(Fault(annotations, None, "", f"its media root {root} is not a folder"))
    elif form == "file" and fps is not None:
        first = f"{rows[0].media!r} under the media root {root} is none"
        what = f"`fps` is for folders of frames, and {first}"
        faults.append(Fault(annotations, None, "", what))
    if form == "frames" and fps is None:
        what = "its media are folders of frames; give `fps`, how many of them make a second"
        faults.append(Fault(annotations, None, "", what))
    name, directional = declared.get("name") or annotations.stem, declared.get("directional", False)
    return MediaSet(name, own, rows, root, directional, form, fps), faults


def missing_media(
    opened: MediaSet, annotations: Path, *, at_most: int | None = None
) -> Iterator[Fault]:
    """The media that are not there, or not what the set says.

    Args:
        opened: the set.
        annotations: its file, for the faults.
        at_most: look for so many, spread over the set; None: for all.
    """
    if opened.kind == "text":
        return
    every = 1 if at_most is None else math.ceil(len(opened.items) / at_most) or 1
    wanted = ((i, opened.items[i]) for i in range(0, len(opened.items), every))
    with ThreadPoolExecutor(_THREADS) as pool:
        while some := list(islice(wanted, _AT_ONCE)):
            problems = pool.map(_look_for(opened), [str(item.media) for _, item in some])
            for (row, item), problem in zip(some, problems, strict=True):
                if problem:
                    yield Fault(annotations, row, item.kind, problem)


def _look_for(opened: MediaSet) -> Callable[[str], str]:
    root, frames = opened.root, opened.media_form == "frames"

    def look(media: str) -> str:
        path = root / media
        if path.is_dir() if frames else path.is_file():
            return ""
        if path.is_dir():
            return f"{media!r} under the media root {root} is a folder, others are files"
        if path.exists():
            wanted = "folder, others are" if frames else "ordinary file"
            return f"{media!r} under the media root {root} is no {wanted}"
        what = "folder" if frames else "file"
        return f"no {what} {media!r} under the media root {root}"

    return look


def _refuse_mixed_kinds(rows: Rows, common: Kind, declared: DeclaredKind | None) -> None:
    """Raises AnnotationsError for rows that are of no use in a set of this kind."""
    if declared is None:
        may_be, what = {common}, f"a set holds one kind of media; most rows here are {common}"
    elif declared == "text":
        may_be, what = {"text"}, "names media, but the pipeline file says `kind: text`"
    else:
        may_be = {"image", "video"}
        what = f"names no media, but the pipeline file says `kind: {declared}`"
    counts = rows.source.header.kinds
    total = sum(count for kind, count in counts.items() if kind not in may_be)
    if not total:  # else the rows are read one by one to name the first of them
        return
    file = rows.source.annotations
    others = (
        Fault(file, row, item.kind, what)
        for row, item in enumerate(rows)
        if item.kind not in may_be
    )
    raise AnnotationsError(list(islice(others, KEPT_FAULTS)), total)
