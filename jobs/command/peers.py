"""How the ranks of a command stage agree: by small files in the stage's folder.

Notable: a rank's process runs no collective operations, and need not have torch; the program
may be in the middle of its own.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from jobs.contract.files import write_atomic

Answer = TypeVar("Answer")

_POLL_S: Final = 0.2
_BAD: Final = ("failed", "refused")


@dataclass(frozen=True)
class Ending:
    """How a rank's program ended, or how rank 0 says that the attempt has.

    Attributes:
        outcome: done, stopped, refused or failed.
        step: That is safe on the disk.
        text: Why.
        fault: Of a refusal.
    """

    outcome: str
    step: int = 0
    text: str = ""
    fault: str = ""


@dataclass(frozen=True)
class Start:
    """What rank 0 starts with, and the others do.

    Attributes:
        resume: The checkpoint to go on from.
        step: Its step.
    """

    resume: str | None
    step: int


class Peers:
    """The ranks of one attempt.

    Args:
        folder: Where their files lie; another one for each attempt.
        rank: This one.
        world_size: How many there are.
    """

    def __init__(self, folder: Path, rank: int, world_size: int) -> None:
        self._folder, self._rank, self._world_size = folder, rank, world_size

    def start(self, start: Start) -> None:
        """Has the other ranks start; on rank 0."""
        self._write("start", asdict(start))

    def conclude(self, ending: Ending) -> None:
        """Has the other ranks end so; on rank 0."""
        self._write("end", asdict(ending))

    def report(self, ending: Ending) -> None:
        """Says how this rank's program ended."""
        self._write(f"rank-{self._rank:05d}", asdict(ending))

    @property
    def first_word(self) -> Start | Ending | None:
        """How rank 0 has started, or ended before; None: it has said nothing yet."""
        told = self._read("start")
        return self.ending if told is None else Start(**told)

    @property
    def ending(self) -> Ending | None:
        """How rank 0 says that the attempt has ended."""
        told = self._read("end")
        return None if told is None else Ending(**told)

    def reports(self) -> dict[int, Ending]:
        """What the ranks have reported so far."""
        told = ((path, self._read(path.stem)) for path in self._folder.glob("rank-*.json"))
        return {int(path.stem[5:]): Ending(**t) for path, t in told if t is not None}

    def failed(self) -> int | None:
        """A rank whose program has ended badly."""
        bad = (rank for rank, each in self.reports().items() if each.outcome in _BAD)
        return next(bad, None)

    def wait_for(self, answer: Callable[[], Answer], limit_s: float) -> Answer:
        """Waits for something that other ranks write; None: it has not come in time."""
        ends_at = time.monotonic() + limit_s
        while (found := answer()) is None and time.monotonic() < ends_at:
            time.sleep(_POLL_S)
        return found

    def wait_for_reports(self, limit_s: float) -> dict[int, Ending]:
        """Waits for the reports of all ranks, or for a bad one; gives those that have come."""

        def all_there() -> bool | None:
            reports = self.reports()
            is_bad = any(each.outcome in _BAD for each in reports.values())
            return True if is_bad or len(reports) >= self._world_size else None

        self.wait_for(all_there, limit_s)
        return self.reports()

    def _write(self, name: str, value: dict[str, Any]) -> None:
        write_atomic(self._folder / f"{name}.json", json.dumps(value))

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            told: dict[str, Any] = json.loads((self._folder / f"{name}.json").read_text())
        except FileNotFoundError:
            return None
        return told
