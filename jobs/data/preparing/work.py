"""Works through the media of one process, several at once, and counts what becomes of them."""

import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from jobs.data.errors import UnreadableClipError
from jobs.data.patience import read_in_time
from jobs.data.preparing.encoding import Recipe, StoppedError, UnfaithfulError, encode_clip
from jobs.data.preparing.share import KEPT_AS_THEY_ARE, Media, Shelf
from jobs.data.video import telling_decoder_errors

TOLD_EVERY_S = 30.0
TIMEOUT_S = 3600.0
AT_ONCE = 10_000
PASSING = ("MemoryError", "OSError", "Timeout")
"""Classes of faults of the moment: the next call tries such a clip again."""


@dataclass
class Tally:
    """What has become of the media of one process.

    Attributes:
        total: media in all.
        encoded: by this call.
        kept: put there as they are by this call.
        before: done by earlier calls.
        bad: those that cannot be read, with the reason.
    """

    total: int
    encoded: int = 0
    kept: int = 0
    before: int = 0
    bad: dict[str, str] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """Media that need nothing more."""
        return self.encoded + self.kept + self.before + len(self.bad)

    def __str__(self) -> str:
        return (
            f"{self.done}/{self.total} media: {self.encoded} encoded, {self.kept} kept as they "
            f"are, {self.before} done before, {len(self.bad)} unreadable"
        )


class Preparing:
    """Prepares media, several at once.

    Args:
        shelf: from where to where.
        recipe: how clips are encoded.
        timeout_s: how long one clip may take; what takes longer is bad.
    """

    def __init__(self, shelf: Shelf, recipe: Recipe, timeout_s: float = TIMEOUT_S) -> None:
        self.shelf, self.recipe, self.timeout_s = shelf, recipe, timeout_s
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._told_at = time.monotonic()

    def stop(self) -> None:
        """Lets `run` end after the frames that are being encoded."""
        self._stop.set()

    def run(self, media: Sequence[Media], workers: int) -> Tally:
        """Prepares them; tells of progress on stderr now and then.

        Raises:
            StoppedError: `stop` was called before the end.
            WritingError: the disk takes no more.
        """
        tally = Tally(len(media))
        with ThreadPoolExecutor(workers) as pool:
            try:
                for at in range(0, len(media), AT_ONCE):  # each waiting medium takes a kilobyte
                    some = media[at : at + AT_ONCE]
                    for _ in pool.map(lambda one: self._one(one, tally), some):
                        pass
            except BaseException:
                self.stop()
                pool.shutdown(cancel_futures=True)
                raise
        return tally

    def _one(self, media: Media, tally: Tally) -> None:
        if self._stop.is_set():
            raise StoppedError
        try:
            problem = self._prepare(media, tally)
        except UnreadableClipError as error:
            problem = f"{error.error_class}: {error.text}"
        with self._lock:
            if problem:
                tally.bad[media.path] = problem
            self._tell(tally)

    def _prepare(self, media: Media, tally: Tally) -> str | None:
        """Prepares one; gives what is wrong with it."""
        shelf = self.shelf
        with telling_decoder_errors(Path(media.path)):
            source, done = shelf.source(media), shelf.is_done(media)
        if done:
            problem = shelf.problem(media)
            self._count(tally, before=problem is None)
            return problem
        if not media.moving or source.is_dir() or source.suffix.lower() in KEPT_AS_THEY_ARE:
            with telling_decoder_errors(source):
                shelf.keep(media)
            self._count(tally, kept=True)
            return None
        problem = self._encode(media, source)
        if problem and problem.partition(":")[0] in PASSING:
            return problem
        if problem:
            shelf.note_bad(media, problem)
            with telling_decoder_errors(source):
                shelf.keep(media)
        else:
            shelf.forget_bad(media)
            self._count(tally, encoded=True)
        return problem

    def _encode(self, media: Media, source: Path) -> str | None:
        part = self.shelf.part(media)

        def encode() -> None:
            with telling_decoder_errors(source):
                encode_clip(source, part, self.recipe, self._stop.is_set)

        try:
            read_in_time(encode, source, self.timeout_s)
        except (UnreadableClipError, UnfaithfulError, StoppedError) as error:
            part.unlink(missing_ok=True)
            if isinstance(error, StoppedError):
                raise
            if isinstance(error, UnreadableClipError):
                return f"{error.error_class}: {error.text}"
            return f"Unfaithful: {error}"
        self.shelf.put(media, part)
        return None

    def _count(
        self, tally: Tally, *, encoded: bool = False, kept: bool = False, before: bool = False
    ) -> None:
        with self._lock:
            tally.encoded += encoded
            tally.kept += kept
            tally.before += before

    def _tell(self, tally: Tally) -> None:
        if time.monotonic() - self._told_at >= TOLD_EVERY_S:
            self._told_at = time.monotonic()
            say(str(tally))


def say(text: str) -> None:
    """Talk, not result."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
