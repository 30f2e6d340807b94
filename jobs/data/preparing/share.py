"""What one process of several prepares, and what is known of it on the disk.

State lies in `.prepared` in the folder of the prepared media: how clips are encoded, which sources
cannot be read, and files that are being written. A media file is in its place whole or not at all,
with the time of change of its source: so it is done, and stays so until the source changes.
"""

import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path

from jobs.contract.files import sync_folder, write_atomic
from jobs.data.annotations import read_items
from jobs.data.errors import DataError
from jobs.data.pictures import PICTURES
from jobs.data.preparing.encoding import Recipe, WritingError, telling_full_disk

STATE = ".prepared"
KEPT_AS_THEY_ARE = PICTURES | {".gif"}
TIME_UNITS_NS = (100, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000)
"""In which disks keep times of change that do not keep nanoseconds; Lustre does in seconds."""
ABANDONED_S = 24 * 3600.0
"""No clip takes so long that its part is not written to in the meantime."""


class OtherRecipeError(DataError):
    """The folder holds clips that were encoded in another way."""


@dataclass(frozen=True)
class Media:
    """A media file or folder that annotations name.

    Attributes:
        path: below the media root.
        moving: a row calls it a video.
    """

    path: str
    moving: bool


@dataclass(frozen=True)
class Share:
    """One process's part.

    Attributes:
        rank: number of this process.
        world_size: processes that share the work; each media file is one's own.
    """

    rank: int = 0
    world_size: int = 1

    def owns(self, path: str) -> bool:
        """Whether this process prepares `path`; the same in every process."""
        drawn = int.from_bytes(blake2b(path.encode(), digest_size=8).digest())
        return drawn % self.world_size == self.rank


def media_of(annotations: Iterable[Path], share: Share) -> list[Media]:
    """The media that annotation files name, each once, in the order of the first row.

    Raises:
        AnnotationsError: with all faults of a file at once.
    """
    found: dict[str, bool] = {}
    for file in annotations:
        for item in read_items(file):
            if item.media is not None and share.owns(item.media):
                found[item.media] = found.get(item.media, False) or item.kind == "video"
    return [Media(path, moving) for path, moving in found.items()]


@dataclass(frozen=True)
class Shelf:
    """Where media come from and where they go.

    Attributes:
        root: folder of the sources.
        out: folder of the prepared ones, under the same names.
    """

    root: Path
    out: Path

    def begin(self, recipe: Recipe, *, now: Callable[[], float] = time.time) -> None:
        """Makes the folder, or sees that what it holds was made in the same way.

        Args:
            recipe: how clips are made.
            now: Unix seconds.

        Raises:
            OtherRecipeError: it was not.
        """
        file = self.out / STATE / "recipe.json"
        (self.out / STATE / "parts").mkdir(parents=True, exist_ok=True)
        if not file.exists():
            write_atomic(file, json.dumps(asdict(recipe)) + "\n")
        found = json.loads(file.read_text(encoding="utf-8"))
        if found != asdict(recipe):
            raise OtherRecipeError(
                f"{self.out} holds clips made with {found}, wanted {asdict(recipe)}: "
                "give another folder or remove this one"
            )
        self._sweep(now())

    def source(self, media: Media) -> Path:
        """Where it is.

        Raises:
            ValueError: not below the root.
        """
        if not (self.root / media.path).absolute().is_relative_to(self.root.absolute()) or (
            ".." in Path(media.path).parts
        ):
            raise ValueError(f"its path leads out of the media root {self.root}")
        return self.root / media.path

    def is_done(self, media: Media) -> bool:
        """Whether it is in its place, made of the source as it is now.

        Raises:
            OSError: there is no source.
        """
        source = self.source(media)
        changed_ns = source.stat().st_mtime_ns
        try:
            return is_kept_time((self.out / media.path).stat().st_mtime_ns, changed_ns)
        except FileNotFoundError:
            return False

    def part(self, media: Media) -> Path:
        """Where to write it before it is moved into its place; another name in each process."""
        name = f"{_digest(media)}.{_attempt()}{socket.gethostname()}.{os.getpid()}"
        return self.out / STATE / "parts" / name

    def put(self, media: Media, part: Path) -> None:
        """Moves what was written into its place, durably."""
        with telling_full_disk():
            self._put(media, part)

    def _put(self, media: Media, part: Path) -> None:
        source, target = self.source(media), self.out / media.path
        state = source.stat()
        if not part.samefile(source):
            os.utime(part, ns=(state.st_atime_ns, state.st_mtime_ns))
        descriptor = os.open(part, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)
        part.unlink(missing_ok=True)  # moving a link over another one of the same file does nothing
        sync_folder(target.parent)

    def keep(self, media: Media) -> None:
        """Puts the source itself into its place: a link where the disk allows, else a copy."""
        source, target = self.source(media), self.out / media.path
        if source.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            for path in sorted(source.rglob("*")):
                if path.is_file():
                    self.keep(Media(str(path.relative_to(self.root)), media.moving))
            os.utime(target, ns=(source.stat().st_atime_ns, source.stat().st_mtime_ns))
            return
        part = self.part(media)
        part.unlink(missing_ok=True)
        try:
            os.link(source.resolve(), part)
        except OSError:  # another disk, or one without links
            self._copy(source, part)
        self.put(media, part)

    def _copy(self, source: Path, part: Path) -> None:
        try:
            with telling_full_disk():
                shutil.copyfile(source, part)
        except WritingError:
            part.unlink(missing_ok=True)  # the disk is full of it
            raise

    def note_bad(self, media: Media, problem: str) -> None:
        """Remembers that it cannot be prepared; said again by the next call."""
        told = json.dumps({"media": media.path, "problem": problem})
        with telling_full_disk():
            write_atomic(self._bad(media), told + "\n")

    def forget_bad(self, media: Media) -> None:
        """The opposite."""
        self._bad(media).unlink(missing_ok=True)

    def problem(self, media: Media) -> str | None:
        """Why it could not be prepared; None: it could, or was not tried."""
        try:
            told = json.loads(self._bad(media).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return str(told["problem"])

    def _bad(self, media: Media) -> Path:
        return self.out / STATE / "bad" / f"{_digest(media)}.json"

    def _sweep(self, now: float) -> None:
        """Removes what killed processes have left half written.

        Those of this machine that are gone, those of other attempts of the same stage (only one
        of them runs at a time), and whatever nobody has written to for a day.
        """
        for path in (self.out / STATE / "parts").iterdir():
            try:
                if self._is_abandoned(path, now):
                    path.unlink()
            except FileNotFoundError:  # another process has just removed or moved it
                continue

    def _is_abandoned(self, path: Path, now: float) -> bool:
        owner = path.name.split(".", 1)[-1]
        attempt, _, rest = owner.rpartition("@")
        host, _, process = rest.rpartition(".")
        if host == socket.gethostname() and not Path(f"/proc/{process}").exists():
            return True
        own = _attempt()
        if own and attempt and attempt.partition("+")[0] == own.partition("+")[0]:
            return f"{attempt}@" != own
        stat = path.lstat()  # what is linked keeps its source's time of change
        return now - max(stat.st_mtime, stat.st_ctime) > ABANDONED_S


def is_kept_time(kept_ns: int, set_ns: int) -> bool:
    """Whether a disk may show `kept_ns` where `set_ns` was set as the time of change."""
    return kept_ns == set_ns or any(
        kept_ns % unit == 0 and abs(kept_ns - set_ns) < unit for unit in TIME_UNITS_NS
    )


def _attempt() -> str:
    """Of which stage and which attempt this process is part, for names; empty: of none."""
    stage, attempt = os.environ.get("LAUNCHER_STAGE_FOLDER"), os.environ.get("LAUNCHER_ATTEMPT")
    if stage is None or attempt is None:
        return ""
    return f"{blake2b(stage.encode(), digest_size=8).hexdigest()}+{attempt}@"


def _digest(media: Media) -> str:
    return blake2b(media.path.encode(), digest_size=16).hexdigest()
