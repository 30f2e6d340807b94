"""Works through the media of one process, several at once, and counts what becomes of them."""

import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from jobs.data.errors import UnreadableClipError
from jobs.data.patience import read_in_time
from jobs.data.preparing.encoding import (
    Recipe,
    StoppedError,
    UnfaithfulError,
    WritingError,
    encode_clip,
)
from jobs.data.preparing.share import KEPT_AS_THEY_ARE, Media, Shelf
from jobs.data.video import telling_decoder_errors

TOLD_EVERY_S = 30.0
TIMEOUT_S = 3600.0
AT_ONCE = 10_000
PASSING = ("MemoryError", "OSError", "Timeout")
"""Classes of faults of the moment: the next call tries such a clip again."""
UNFAITHFUL = "Unfaithful"
"""Of a source that can be read; what was made of it shows something else."""


@dataclass
class Tally:
    """What has become of the media of one process.

    Attributes:
        total: media in all.
        encoded: by this call.
        kept: put there as they are by this call.
        before: done by earlier calls.
        bad: those that cannot be read, with the reason.
        raw: those that are kept as they are since what was made of them was not the same.
        frames: encoded by this call, so that a long clip is seen to go on.
    """

    total: int
    encoded: int = 0
    kept: int = 0
    before: int = 0
    bad: dict[str, str] = field(default_factory=dict)
    raw: dict[str, str] = field(default_factory=dict)
    frames: int = 0

    @property
    def done(self) -> int:
        """Media that need nothing more."""
        return self.encoded + self.kept + self.before + len(self.bad) + len(self.raw)

    def __str__(self) -> str:
        raw = f", {len(self.raw)} left raw" if self.raw else ""
        return (
            f"{self.done}/{self.total} media: {self.encoded} encoded, {self.kept} kept as they "
            f"are, {self.before} done before, {len(self.bad)} unreadable{raw}"
        )


class Preparing:
    """Prepares media, several at once.

    Args:
        shelf: from where to where.
        recipe: how clips are encoded.
        timeout_s: how long one clip may take; what takes longer is bad.
        told_every_s: how often it tells how far it is.
    """

    def __init__(
        self,
        shelf: Shelf,
        recipe: Recipe,
        timeout_s: float = TIMEOUT_S,
        told_every_s: float = TOLD_EVERY_S,
    ) -> None:
        self.shelf, self.recipe, self.timeout_s = shelf, recipe, timeout_s
        self._told_every_s = told_every_s
        self._stop, self._lock = threading.Event(), threading.Lock()

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
        with self._telling(tally), ThreadPoolExecutor(workers) as pool:
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
                of = tally.raw if problem.startswith(f"{UNFAITHFUL}:") else tally.bad
                of[media.path] = problem

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
        problem = self._encode(media, source, tally)
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

    def _encode(self, media: Media, source: Path, tally: Tally) -> str | None:
        part, given_up = self.shelf.part(media), threading.Event()

        def is_over() -> bool:
            """Asked between two frames, also of a thread that nobody waits for any more."""
            with self._lock:
                tally.frames += 1
            return self._stop.is_set() or given_up.is_set()

        def encode() -> None:
            try:
                with telling_decoder_errors(source):
                    encode_clip(source, part, self.recipe, is_over)
            finally:
                if given_up.is_set():  # it may have made the file anew
                    part.unlink(missing_ok=True)

        try:
            read_in_time(encode, source, self.timeout_s)
        except (UnreadableClipError, UnfaithfulError, StoppedError, WritingError) as error:
            given_up.set()
            part.unlink(missing_ok=True)
            if isinstance(error, StoppedError | WritingError):
                raise
            if isinstance(error, UnreadableClipError):
                return f"{error.error_class}: {error.text}"
            return f"{UNFAITHFUL}: {error}"
        try:
            self.shelf.put(media, part)
        except WritingError:
            part.unlink(missing_ok=True)
            raise
        return None

    def _count(
        self, tally: Tally, *, encoded: bool = False, kept: bool = False, before: bool = False
    ) -> None:
        with self._lock:
            tally.encoded += encoded
            tally.kept += kept
            tally.before += before

    @contextmanager
    def _telling(self, tally: Tally) -> Iterator[None]:
        """Tells now and then how far it is, however long a clip takes."""
        over = threading.Event()

        def tell() -> None:
            while not over.wait(self._told_every_s):
                with self._lock:
                    text = f"{tally}; {tally.frames} frames encoded"
                say(text)

        threading.Thread(target=tell, name="tells", daemon=True).start()
        try:
            yield
        finally:
            over.set()


def say(text: str) -> None:
    """Talk, not result."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
