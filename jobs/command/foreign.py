"""The checkpoints of a foreign program as they lie on the disk."""

import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from jobs.contract.command import Watched

Look = tuple[tuple[str, int, int], ...]
"""What a checkpoint looks like: name, size and time of change (ns) of each file, sorted."""


@dataclass(frozen=True)
class Foreign:
    """A checkpoint that a program has saved.

    Attributes:
        step: What its name says.
        path: File or folder.
        look: Its files, with absolute names.
    """

    step: int
    path: Path
    look: Look

    @property
    def save_s(self) -> float:
        """Seconds from the first of its files to the last."""
        times = [changed_ns for _, _, changed_ns in self.look]
        return (max(times) - min(times)) / 1e9

    @property
    def saved_at(self) -> int:
        """When its last file was written, in ns since 1970."""
        return max(changed_ns for _, _, changed_ns in self.look)


def find_complete(watched: Watched, pattern: str) -> list[Foreign]:
    """The complete checkpoints, newest step first; the later saved one of the same step.

    Args:
        watched: What makes a checkpoint.
        pattern: Its glob with an absolute path.
    """
    by_step: dict[int, Foreign] = {}
    for found in _find(watched, pattern):
        known = by_step.get(found.step)
        if known is None or found.saved_at > known.saved_at:
            by_step[found.step] = found
    return [by_step[step] for step in sorted(by_step, reverse=True)]


def matches(pattern: str) -> list[Path]:
    """What a glob finds, in the order of names."""
    return [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207


def look_at(path: Path) -> Look:
    """The files at a path, or in the folder there; empty where one is just being removed."""
    try:
        return tuple(sorted(_stat(file) for file in _files(path)))
    except FileNotFoundError:
        return ()


def _find(watched: Watched, pattern: str) -> Iterator[Foreign]:
    base = _fixed_part(pattern)
    for path in matches(pattern):
        step = step_of(watched, os.path.relpath(path, base))
        if step is None:
            continue
        look = look_at(path)
        if look and (not path.is_dir() or _is_complete(watched, path, look)):
            yield Foreign(step, path, look)


def step_of(watched: Watched, name: str) -> int | None:
    """The step that a checkpoint's name tells; None: none."""
    found = list(re.finditer(watched.step_regex, name))
    text = found[-1][1] if found else None
    return int(text) if text is not None and text.isdecimal() else None


def _fixed_part(pattern: str) -> str:
    """The folder above the first part of a glob that is no plain name.

    Numbers in it, such as the day in a run's name, are no steps.
    """
    parts = Path(pattern).parts
    plain = next((at for at, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return os.path.join(*parts[:plain])  # noqa: PTH118


def _is_complete(watched: Watched, folder: Path, look: Look) -> bool:
    names = [os.path.relpath(name, folder) for name, _, _ in look]

    def holds(wanted: str) -> bool:
        return any(fnmatch(name, wanted) for name in names)

    return all(map(holds, watched.complete_when)) and not any(map(holds, watched.incomplete_when))


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, _, names in os.walk(path):
        for name in names:
            yield Path(folder, name)


def _stat(file: Path) -> tuple[str, int, int]:
    stat = file.stat()
    return str(file), stat.st_size, stat.st_mtime_ns
