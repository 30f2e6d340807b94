"""Signs of life: each rank touches a file now and then, and others look whether it still does.

Notable: a touch needs no room on the disk. Times are compared with each other only, never with a
clock: that of another node may be wrong.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def beating(path: Path, every_s: float) -> Iterator[None]:
    """Shows that this process lives, as long as the block lasts, from a thread of its own."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(every_s):
            with suppress(OSError):  # a disk that fails for a moment
                os.utime(path)

    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    thread = threading.Thread(target=beat, name="pulse", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


class Pulse:
    """Another process's signs of life.

    Args:
        path: What it touches.
        silent_s: How long it may show none.
        absent_s: How long it may take to show the first.
        look_s: How often it is looked at.
    """

    def __init__(self, path: Path, *, silent_s: float, absent_s: float, look_s: float) -> None:
        self._path, self._silent_s, self._absent_s = path, silent_s, absent_s
        self._look_s = look_s
        self._touched_ns: int | None = None
        self._looked_at = time.monotonic()
        self._silence_s = 0.0

    def has_stopped(self) -> bool:
        """Whether it has shown none for too long.

        Who could not look for a while, having been suspended or waiting for the disk, has seen no
        silence in that time.
        """
        before, self._looked_at = self._looked_at, time.monotonic()
        try:
            touched_ns = self._look()
        except OSError:  # the disk does not say
            return False
        self._silence_s += min(self._looked_at - before, 2 * self._look_s)
        if touched_ns is not None and touched_ns != self._touched_ns:
            self._touched_ns, self._silence_s = touched_ns, 0.0
        limit_s = self._absent_s if self._touched_ns is None else self._silent_s
        return self._silence_s > limit_s

    def _look(self) -> int | None:
        try:
            descriptor = os.open(self._path, os.O_RDONLY)  # a file server is asked anew
        except FileNotFoundError:
            return None
        try:
            return os.fstat(descriptor).st_mtime_ns
        finally:
            os.close(descriptor)
