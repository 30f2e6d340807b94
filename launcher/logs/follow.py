"""Follows the logs of a stage from attempt to attempt until the stage has ended. Prints nothing."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from db.schema import StageRun
from launcher.logs.attempts import Logged, has_ended, logged_attempts, newest_with_log, why_no_log
from launcher.logs.tail import Tail, last_lines, size_of
from launcher.reconcile.observe import stage_folder

POLL_S = 1.0
LOOK_EVERY_S = 10.0
"""The scheduler is asked only while nothing is written, and not more often than that."""


@dataclass(frozen=True)
class Line:
    """A line of a rank's log."""

    rank: int
    text: str


@dataclass(frozen=True)
class Turn:
    """From here on the lines are another attempt's."""

    attempt: Logged


@dataclass(frozen=True)
class Waits:
    """There is no log to follow at the moment, and why."""

    why: str


@dataclass
class Following:
    """Follows the logs of one stage.

    Attributes:
        read: Gives the stage run as the ledger knows it.
        look: The same after a look at the scheduler and the files.
        rank: The rank to follow; None: all.
        lines: How many of the lines that are there already are told.
        clock: Seconds that only go forward.
        sleep: Waits, in seconds.
    """

    read: Callable[[], StageRun]
    look: Callable[[], StageRun]
    rank: int | None
    lines: int
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _tails: dict[int, Tail] = field(default_factory=dict, init=False)

    def follow(self) -> Iterator[Line | Turn | Waits]:
        """What comes, until the stage has ended; then `read` gives its last state."""
        stage, looked_at, told, why = self.look(), self.clock(), None, ""
        current: Logged | None = None
        while True:
            newest = newest_with_log(logged_attempts(stage))
            if newest is not None and (current is None or newest.key != current.key):
                yield from self._drain(whole=True)
                yield Turn(newest)
                yield from self._begin(stage, newest, is_first=current is None)
                current = newest
            elif newest is not None:
                self._add_ranks(stage, newest)
            lines = list(self._drain(whole=False))
            yield from lines
            told = self.clock() if lines else told
            if has_ended(stage):
                yield from self._drain(whole=True)
                return
            if current is None and why_no_log(stage) != why:
                why = why_no_log(stage)
                yield Waits(why)
            self.sleep(POLL_S)
            now = self.clock()
            is_quiet = told is None or now - told >= LOOK_EVERY_S / 2
            if is_quiet and now - looked_at >= LOOK_EVERY_S:
                stage, looked_at = self.look(), now
            else:
                stage = self.read()

    def _begin(self, stage: StageRun, attempt: Logged, *, is_first: bool) -> Iterator[Line]:
        """Tells the last lines of an attempt that was there before; all of one that has come."""
        folder, self._tails = stage_folder(stage), {}
        for rank in self._wanted(attempt.ranks):
            path = folder.log_file(attempt.key, rank)
            size = size_of(path) if is_first else 0
            if is_first and size:
                yield from (Line(rank, text) for text in last_lines(path, self.lines, before=size))
            self._tails[rank] = Tail(path, size)

    def _add_ranks(self, stage: StageRun, attempt: Logged) -> None:
        """Follows ranks that have begun to write after the others."""
        for rank in self._wanted(attempt.ranks):
            if rank not in self._tails:
                self._tails[rank] = Tail(stage_folder(stage).log_file(attempt.key, rank))

    def _wanted(self, ranks: Sequence[int]) -> list[int]:
        return list(ranks) if self.rank is None else [self.rank]

    def _drain(self, *, whole: bool) -> Iterator[Line]:
        for rank, tail in self._tails.items():
            yield from (Line(rank, text) for text in tail.read(whole=whole))
