"""A foreign program and all its processes, as one thing that can be told to end."""

import os
import secrets
import select
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from jobs.command import guardian

_LINGER_S: Final = 5.0
_PASSED_OVER: Final = (signal.SIGUSR1, signal.SIGUSR2)
"""Slurm may send them to every process of a job. They are meant for the rank, and would end a
program that does not expect them."""


class Program:
    """A running program; its output goes where this process's goes.

    Args:
        command: The program and its arguments.
        cwd: Where it runs.
        env: Its environment.
        wanted: Signals that mean something to it.
        linger_s: See `guardian.Guardian`.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        wanted: Iterable[int] = (),
        linger_s: float = _LINGER_S,
    ) -> None:
        self._mark = f"LAUNCHER_PROGRAM={secrets.token_hex(8)}"
        passed_over = ",".join(str(int(n)) for n in _PASSED_OVER if n not in set(wanted))
        self._status, status = os.pipe()
        os.set_blocking(self._status, False)
        script = Path(guardian.__file__)
        words = [sys.executable, "-I", "-S", str(script), str(status), f"{linger_s}", passed_over]
        self._guardian = subprocess.Popen(
            [*words, *command],
            cwd=cwd,
            env=dict(env) | dict([self._mark.split("=")]),
            stdin=subprocess.PIPE,
            pass_fds=[status],
            start_new_session=True,
        )
        os.close(status)
        self._told = b""
        self.is_running = True
        self.killed = False

    @property
    def code(self) -> int:
        """How its first process ended: its exit code, or the negative number of a signal."""
        for line in self._told.decode().splitlines():
            if line.startswith("first "):
                return os.waitstatus_to_exitcode(int(line.split()[1]))
        return -signal.SIGKILL  # the guardian was killed, and it with it

    def wait(self, timeout_s: float) -> bool:
        """Waits for all its processes to end; gives whether they have.

        Args:
            timeout_s: At most this long.
        """
        ready, _, _ = select.select([self._status], [], [], timeout_s if self.is_running else 0)
        if ready and self.is_running:
            data = os.read(self._status, 4096)
            self._told += data
            if not data:
                self._close()
        return not self.is_running

    def send(self, number: int, to: str) -> None:
        """Sends a signal; `to` as in `jobs.contract.command.Stop`."""
        self._order(f"signal {int(number)} {to}")

    def kill(self) -> None:
        """Kills all its processes; `wait` tells when they are gone."""
        self.killed = True
        self._order("kill")

    def _order(self, line: str) -> None:
        if self._guardian.stdin is not None and self.is_running:
            try:
                self._guardian.stdin.write(f"{line}\n".encode())
                self._guardian.stdin.flush()
            except BrokenPipeError:  # it has just ended
                return

    def _close(self) -> None:
        if self._guardian.wait() != 0:  # it was killed, and what it looked after is ours now
            guardian.kill_all(os.getpid(), self._mark.encode())
        self.is_running = False
        os.close(self._status)
