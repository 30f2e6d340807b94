"""Where the file of a command's result goes: `-o PATH`, or `-o -`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from jobs.contract.files import sync_folder
from launcher.errors import LauncherError, UsageError

STDOUT: Final = "-"
"""What `-o` takes for standard output."""


def result_file(given: Path | None) -> Path | None:
    """The file that `-o` names, with links followed; None: standard output, as for `-`.

    Raises:
        UsageError: It is a folder, or its folder does not exist.
    """
    return None if given is None or str(given) == STDOUT else checked_file(given)


def checked_file(path: Path) -> Path:
    """The path to write a file to, with links followed.

    Raises:
        UsageError: It is a folder, or its folder does not exist.
    """
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; name a file in it")
    if is_device(path):
        return path
    path = Path(os.path.realpath(path))
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}; make it first")
    return path


def is_device(path: Path) -> bool:
    """Whether there is something that must not be replaced by a file, such as /dev/stdout."""
    return path.exists() and not path.is_file()


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Says of an error of the disk which path could not be written.

    Raises:
        LauncherError: It cannot be written.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        said = error.strerror or str(error)
        raise LauncherError(
            f"{path}: cannot be written: {said}; make room, mend its rights, or name another place"
        ) from error


@contextmanager
def written_aside(path: Path) -> Iterator[IO[str]]:
    """A file that takes the place of `path` at the end, whole; after an error nothing has changed.

    Raises:
        LauncherError: It cannot be written.
    """
    if is_device(path):
        with (
            explained(path),
            path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
        ):
            yield file
        return
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with explained(path):
        try:
            with aside.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
            sync_folder(path.parent)
        finally:
            aside.unlink(missing_ok=True)
