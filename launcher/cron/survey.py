"""What is installed for a runs folder, and whether passes go on."""

import getpass
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from db.errors import LedgerError
from db.passes import last_pass
from db.schema import Pass
from launcher.cron.blocks import block_of, folders
from launcher.cron.entry import every_min_of
from launcher.cron.tables import Table
from launcher.errors import LauncherError
from launcher.runs import open_ledger

_LATE_AFTER: Final = 3
"""Pauses without a good pass; one may be skipped while a long one goes on."""
_SLACK_S: Final = 60.0


@dataclass(frozen=True)
class Survey:
    """What was found.

    Attributes:
        runs: The runs folder.
        installed: Its lines, by the table that holds them.
        others: Runs folders that have lines there, too.
        good: The last pass that Slurm answered; None when there was none.
        problems: What could not be looked at, and why.
    """

    runs: Path
    installed: Mapping[str, Sequence[str]]
    others: Sequence[Path]
    good: Pass | None
    problems: Sequence[str]

    @property
    def every_min(self) -> int | None:
        """Minutes between two passes; None where nothing runs them."""
        pauses = [every_min_of(lines) for lines in self.installed.values()]
        return min((minutes for minutes in pauses if minutes is not None), default=None)

    def is_late(self, now: float) -> bool:
        """Whether another good pass was due at this time (Unix seconds).

        Before the first one that cannot be told.
        """
        if self.every_min is None or self.good is None:
            return False
        due_s = _LATE_AFTER * self.every_min * 60 + _SLACK_S
        return now - (self.good.ended_at or self.good.started_at) > due_s


def survey(runs: Path) -> Survey:
    """Looks into both tables and into the ledger; what cannot be looked at is a problem."""
    installed: dict[str, list[str]] = {}
    others: list[Path] = []
    problems: list[str] = []
    for table in (Table("crontab"), Table("scrontab")):
        if shutil.which(table.program) is None:
            continue
        try:
            text = table.read()
            lines = block_of(text, runs)
        except LauncherError as error:
            problems.append(str(error))
            continue
        others += [folder for folder in folders(text) if folder != runs]
        if lines is not None:
            installed[owner(table)] = lines
    good = None
    try:
        with open_ledger(runs).read() as session:
            good = last_pass(session, good=True)
    except LedgerError as error:
        problems.append(str(error))
    return Survey(runs, installed, others, good, problems)


def owner(table: Table) -> str:
    """Whose table it is; a crontab is read on one machine only."""
    if table.is_slurm:
        return f"{getpass.getuser()}'s scrontab"
    return f"{getpass.getuser()}'s crontab on {socket.gethostname()}"
