"""Digests of large files in the background, with an end."""

import hashlib
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from jobs.command.foreign import Look
from jobs.contract.manifest import CheckpointFile

_CHUNK: Final = 1 << 22
_POLL_S: Final = 0.05


class Digesting:
    """Reads the files of one checkpoint in a thread of its own.

    Attributes:
        look: The files.
    """

    def __init__(self, look: Look) -> None:
        self.look = look
        self._files: list[CheckpointFile] | None = None
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def wait(self, ends_at: float | None = 0.0) -> bool:
        """Whether it is over, after waiting until then (monotonic seconds; None: for ever)."""
        while self._thread.is_alive() and (ends_at is None or time.monotonic() < ends_at):
            self._thread.join(_POLL_S)
        return not self._thread.is_alive()

    def give_up(self) -> None:
        """Stops reading."""
        self._given_up.set()

    @property
    def files(self) -> Sequence[CheckpointFile] | None:
        """Sizes and digests; None where a file could not be read, or it is not over."""
        return self._files

    def _read(self) -> None:
        files = []
        for name, size, _ in self.look:
            try:
                digest = self._digest(Path(name))
            except OSError:  # removed meanwhile, as a rule by the program
                return
            if digest is None:
                return
            files.append(CheckpointFile(name, size, digest))
        self._files = files

    def _digest(self, path: Path) -> str | None:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                if self._given_up.is_set():
                    return None
                digest.update(chunk)
        return digest.hexdigest()


def sizes_alone(look: Look) -> tuple[CheckpointFile, ...]:
    """The files of a checkpoint without digests."""
    return tuple(CheckpointFile(name, size, "") for name, size, _ in look)
