"""What a user may meet, as exceptions; `launcher.cli` turns them into lines and exit codes.

    LauncherError       1   the run failed, or the command could not do its work
    ├── UsageError      2   the command line or the pipeline file is wrong
    └── ClusterError    3   Slurm did not answer or said no

A `db.errors.LedgerError` ends with 4, and whatever else escapes is a bug and ends with 70.
"""

from collections.abc import Iterable
from typing import ClassVar


class LauncherError(Exception):
    """Something the user can act on: the message says where, what, and what to do next."""

    exit_code: ClassVar[int] = 1

    @property
    def lines(self) -> tuple[str, ...]:
        """What to print, one finding a line."""
        return (str(self),)


def unwritable(error: OSError) -> LauncherError:
    """What to say where standard output takes no more, for another reason than a closed pipe."""
    said = error.strerror or type(error).__name__
    return LauncherError(f"standard output: {said}; make room there, or write to another place")


class UsageError(LauncherError):
    """The command line or the pipeline file is wrong.

    Attributes:
        faults: One line each; all that were found, not only the first.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, faults: str | Iterable[str]) -> None:
        self.faults = [faults] if isinstance(faults, str) else list(faults)
        super().__init__("\n".join(self.faults))

    @property
    def lines(self) -> tuple[str, ...]:
        """The faults."""
        return tuple(self.faults)


class ClusterError(LauncherError):
    """Slurm did not answer or said no."""

    exit_code: ClassVar[int] = 3
