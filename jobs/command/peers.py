"""How the ranks of a command stage agree: by small files in the stage's folder.

Notable: a rank's process runs no collective operations, and need not have torch; the program
may be in the middle of its own. Programs of ranks that have nothing to do with each other may end
hours apart: whoever waits for another does so as long as that one lives.
"""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from jobs.command.pulse import Pulse, beating
from jobs.contract.files import write_atomic

Answer = TypeVar("Answer")

_POLL_S: Final = 0.2
_LATER_POLL_S: Final = 1.0
_SOON_S: Final = 60.0
_BAD: Final = ("failed", "refused")


@dataclass(frozen=True)
class Patience:
    """What the ranks of an attempt bear with, in seconds.

    Attributes:
        beat_s: From one sign of life of a rank to the next.
        look_s: From one look for those of others to the next.
        silent_s: Without any, a rank is gone.
        absent_s: How long it may take to show the first.
        still_s: How long the program of a rank may say nothing once that of another has ended
            well; as long as torch's collectives wait for a rank that does not come.
    """

    beat_s: float = 10.0
    look_s: float = 20.0
    silent_s: float = 180.0
    absent_s: float = 900.0
    still_s: float = 1800.0


USUAL: Final = Patience()


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
        patience: How long they wait for each other.
    """

    def __init__(
        self, folder: Path, rank: int, world_size: int, patience: Patience = USUAL
    ) -> None:
        self._folder, self._rank, self._world_size = folder, rank, world_size
        self.patience = patience
        self._reports: dict[int, Ending] = {}
        # Rank 0 looks after all, the others after rank 0: fewer questions for the file server.
        watched = range(1, world_size) if rank == 0 else [0]
        self._pulses = {
            each: Pulse(
                self._pulse_of(each),
                silent_s=patience.silent_s,
                absent_s=patience.absent_s,
                look_s=patience.look_s,
            )
            for each in watched
        }
        self._looked_at = time.monotonic()
        self._lost: int | None = None

    def _pulse_of(self, rank: int) -> Path:
        return self._folder / f"alive-{rank:05d}"

    def living(self) -> AbstractContextManager[None]:
        """Shows the other ranks, within a block, that this one lives."""
        if self._world_size == 1:
            return nullcontext()
        return beating(self._pulse_of(self._rank), self.patience.beat_s)

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
        for path in self._folder.glob("rank-*.json"):
            rank = int(path.stem[5:])
            if rank not in self._reports and (told := self._read(path.stem)) is not None:
                self._reports[rank] = Ending(**told)
        return dict(self._reports)

    def failed(self) -> int | None:
        """A rank whose program has ended badly."""
        bad = (rank for rank, each in self.reports().items() if each.outcome in _BAD)
        return next(bad, None)

    def ended_well(self) -> bool:
        """Whether the program of another rank has."""
        done = (rank for rank, each in self.reports().items() if each.outcome == "done")
        return any(rank != self._rank for rank in done)

    def lost(self) -> int | None:
        """A rank that is gone without a report, of those that this one looks after."""
        now = time.monotonic()
        if now - self._looked_at >= self.patience.look_s:
            self._looked_at = now
            silent = [rank for rank, pulse in self._pulses.items() if pulse.has_stopped()]
            known = self.reports() if silent and self._rank == 0 else {}
            self._lost = next((rank for rank in silent if rank not in known), None)
        return self._lost

    def wait_for(
        self, answer: Callable[[], Answer], go_on: Callable[[], bool] = lambda: True
    ) -> Answer:
        """Waits for something that other ranks write.

        Args:
            answer: What it is; None: it has not come.
            go_on: Asked now and then whether to wait on.

        Returns:
            None: a rank is gone, or `go_on` said so.
        """
        began = time.monotonic()
        while answer() is None and self.lost() is None and go_on():
            soon = time.monotonic() - began < _SOON_S
            time.sleep(_POLL_S if soon else _LATER_POLL_S)
        return answer()

    def wait_for_reports(self, go_on: Callable[[], bool]) -> dict[int, Ending]:
        """Waits for the reports of all ranks, or for a bad one; gives those that have come."""

        def all_there() -> bool | None:
            is_over = self.failed() is not None or len(self._reports) >= self._world_size
            return True if is_over else None

        self.wait_for(all_there, go_on)
        return self.reports()

    def _write(self, name: str, value: dict[str, Any]) -> None:
        write_atomic(self._folder / f"{name}.json", json.dumps(value))

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            told: dict[str, Any] = json.loads((self._folder / f"{name}.json").read_text())
        except FileNotFoundError:
            return None
        return told
