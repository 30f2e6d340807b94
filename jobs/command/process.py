"""One rank's process of the program, from its start to the end of the last of its children."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jobs.command.failure import HungError, PeerFailedError, failure, kernel_kills
from jobs.command.output import Tail
from jobs.command.peers import Ending, Peers
from jobs.command.program import Program
from jobs.command.stopping import Stopping
from jobs.command.surroundings import Surroundings
from jobs.contract import exits
from jobs.contract.files import write_atomic
from jobs.job import Job, RefusedError

_POLL_S: Final = 0.2
_OTHERS_EVERY_S: Final = 2.0
_PEER_GRACE_S: Final = 10.0
"""How long a program may take to see by itself that another rank's has ended badly."""
_LATE_SIGNAL_S: Final = 1.0
"""Slurm may signal the program's processes directly; then ours comes at the same moment."""
_KILL_LIMIT_S: Final = 10.0
"""A process that waits for a broken disk cannot be killed."""


@dataclass(frozen=True)
class Ended:
    """How the program of one rank ended.

    Attributes:
        ending: In our words.
        error: What it failed with.
        at_rest: It ended by itself and well, so nothing that it saved was cut off.
    """

    ending: Ending
    error: Exception | None = None
    at_rest: bool = False


@dataclass(frozen=True)
class _Silence:
    """Since when a program has said nothing.

    Attributes:
        size: Bytes of its log.
        since: Monotonic seconds.
    """

    size: int
    since: float


class Process:
    """Starts this rank's process, passes on what it must know, and sees it end.

    Args:
        job: The rank's job.
        around: Where it stands.
        peers: The other ranks.
        resume: The checkpoint to go on from.
    """

    def __init__(self, job: Job, around: Surroundings, peers: Peers, resume: Path | None) -> None:
        self._job, self._around, self._peers = job, around, peers
        self._log = job.folder.log_file(job.place.attempt, job.place.rank)
        self._silence: _Silence | None = None
        self.tail = Tail(self._log)
        self.stopping = Stopping(around.command.stop, job.spec.signal_lead_s)
        self._kernel_kills = kernel_kills()
        self._others_looked_at = time.monotonic()
        self._peer_ended_at: float | None = None
        self._killed_at: float | None = None
        self._why_killed: Exception | None = None
        self._program = Program(
            around.arguments(resume),
            cwd=around.command.cwd,
            env=around.environment(resume, os.environ),
            wanted=() if self._signal is None else (self._signal,),
        )

    @property
    def _signal(self) -> int | None:
        name = self._around.command.stop.signal
        return None if name == "none" else signal.Signals[name]

    def see_through(self, meanwhile: Callable[[], None]) -> Ended:
        """Waits for the end of all its processes.

        Args:
            meanwhile: Called a few times a second.
        """
        while not self._program.wait(_POLL_S) and not self._is_beyond_control():
            meanwhile()
            self._heed_signals()
            self._heed_others()
        self._wait_for_a_late_signal()
        return self._ended()

    def heed(self) -> None:
        """Passes signals on to the other ranks when this one's part is over."""
        self._job.stop.signal_name = self._job.stop.signal_name or self._told_elsewhere()
        self._heed_signals()

    @property
    def may_wait(self) -> bool:
        """Whether there is time to wait for others, who kill what does not end and report it."""
        kill_at, ends_at = self.stopping.kill_at, self.stopping.ends_at
        return kill_at is None or ends_at is None or time.monotonic() < (kill_at + ends_at) / 2

    def _is_beyond_control(self) -> bool:
        return self._killed_at is not None and time.monotonic() > self._killed_at + _KILL_LIMIT_S

    def _heed_signals(self) -> None:
        """Passes a signal on, and ends what outlives the time it has."""
        name = self._job.stop.signal_name
        now = time.monotonic()
        if name is not None and self.stopping.note(name, now):
            write_atomic(self._around.stop_file, name)
            if self._signal is not None:
                self._program.send(self._signal, self._around.command.stop.to)
        if self.stopping.kill_at is not None and now > self.stopping.kill_at:
            self._kill(None)

    def _told_elsewhere(self) -> str | None:
        """The signal that another rank got: Slurm need not tell all of them."""
        try:
            return self._around.stop_file.read_text() or None
        except OSError:
            return None

    def _heed_others(self) -> None:
        """Ends the program where a newer attempt has taken over, or another rank has failed."""
        now = time.monotonic()
        if now - self._others_looked_at < _OTHERS_EVERY_S:
            return
        self._others_looked_at = now
        self._job.stop.signal_name = self._job.stop.signal_name or self._told_elsewhere()
        taken_over = self._taken_over()
        if taken_over is not None:
            self._kill(RefusedError(taken_over, fault="fenced"))
        self._heed_ends(now)

    def _heed_ends(self, now: float) -> None:
        """Ends the program some time after another rank's has failed, or hangs after a good end."""
        failed, lost = self._peers.failed(), self._peers.lost()
        if (failed, lost) != (None, None) and self._peer_ended_at is None:
            self._peer_ended_at = now
        if self._peer_ended_at is not None and now > self._peer_ended_at + _PEER_GRACE_S:
            gone = f"rank {lost} is gone, and has not said why"
            failure = f"the program of rank {failed} failed"
            self._kill(PeerFailedError(gone if failed is None else failure))
        if self._peers.ended_well():
            self._heed_silence(now)

    def _heed_silence(self, now: float) -> None:
        """Ends the program where it says nothing for too long."""
        try:
            size = self._log.stat().st_size
        except OSError:  # a disk that fails for a moment
            return
        if self._silence is None or self._silence.size != size:
            self._silence = _Silence(size, now)
        still_s = self._peers.patience.still_s
        if now > self._silence.since + still_s:
            said = f"said nothing for {still_s / 60:g} min since that of another rank ended"
            self._kill(HungError(f"the program of this rank has {said}: it hangs"))

    def _taken_over(self) -> str | None:
        try:
            return self._job.taken_over()
        except (OSError, ValueError):  # a disk that fails for a moment ends no training
            return None

    def _kill(self, why: Exception | None) -> None:
        if self._killed_at is None:
            self._killed_at, self._why_killed = time.monotonic(), why
            self._program.kill()

    def _wait_for_a_late_signal(self) -> None:
        ends_at = time.monotonic() + _LATE_SIGNAL_S
        while self._may_be_a_stop() and time.monotonic() < ends_at:
            time.sleep(_POLL_S)
            self._heed_signals()

    def _may_be_a_stop(self) -> bool:
        code = self._program.code
        is_plain = code in (exits.DONE, exits.STOPPED, exits.REFUSED)
        return not is_plain and not self.stopping.is_under_way and self._killed_at is None

    def _ended(self) -> Ended:
        code = self._program.code
        if isinstance(self._why_killed, RefusedError):
            return Ended(
                Ending("refused", text=str(self._why_killed), fault=self._why_killed.fault),
                self._why_killed,
            )
        if self._why_killed is not None:
            return Ended(Ending("failed", text=str(self._why_killed)), self._why_killed)
        if code == exits.REFUSED:
            text = f"{self._around.command.title} says that it must not run again (exit 93)"
            return Ended(Ending("refused", text=text, fault="deterministic"))
        at_rest = code in (exits.DONE, exits.STOPPED)
        if self.stopping.is_under_way or code == exits.STOPPED:
            return Ended(Ending("stopped"), at_rest=at_rest)
        if code == exits.DONE:
            return Ended(Ending("done"), at_rest=at_rest)
        for _ in self.tail.lines():
            pass
        error = failure(
            self._around.command.title,
            code,
            self.tail.last,
            memory_ran_out=kernel_kills() > self._kernel_kills,
        )
        return Ended(Ending("failed", text=str(error)), error)
