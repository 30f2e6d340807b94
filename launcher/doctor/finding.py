"""What was found: its level, what it is, why it matters, what to do."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is, the worst first."""

    ERROR = "error"
    """It can never run: Slurm would refuse it, or let it wait for ever."""
    WARNING = "warning"
    UNKNOWN = "not checked"
    """Who was asked did not say. That is not the same as fine."""
    NOTE = "note"
    OK = "ok"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: How bad it is.
        id: Its name in docs/doctor.md.
        where: A key of the pipeline file, a file, a program; empty: the site as a whole.
        what: What is true.
        why: Why that matters.
        next: What to do.
    """

    level: Level
    id: str
    where: str = ""
    what: str
    why: str = ""
    next: str = ""

    @property
    def line(self) -> str:
        """All of it in one line: where: what: why; next."""
        said = ": ".join(part for part in (self.where, self.what, self.why) if part)
        return f"{said}; {self.next}" if self.next else said


def of_level(findings: Iterable[Finding], level: Level) -> list[Finding]:
    """Those of one level, in order."""
    return [finding for finding in findings if finding.level is level]
