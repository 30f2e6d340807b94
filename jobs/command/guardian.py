"""Stands between a job's rank and a foreign program: no process of the program outlives both.

Notable: a program is not one process. `torchrun` starts ranks, these start data loaders, and any
of them may leave its parent. This process adopts what loses its parent (PR_SET_CHILD_SUBREAPER),
so every descendant stays under it and can be found in /proc. When the rank is killed, however
suddenly, its end of a pipe closes, and all of them are killed. Should this process be killed, the
kernel kills the program's first process with it (PR_SET_PDEATHSIG).

Runs as `python -I -S guardian.py STATUS_FD LINGER_S PASSED_OVER COMMAND...`, so it imports
nothing of ours. On its standard input come orders, a line each: `signal NUMBER WHOM` and `kill`.
It tells on STATUS_FD: `first STATUS` (of waitpid) when the first process has ended, then it
ends itself, once there is no process left.
"""

import ctypes
import os
import selectors
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_KILL_EVERY_S: Final = 0.05
_LOOK_EVERY_S: Final = 0.2
_FORK_SERVER: Final = b"multiprocessing.forkserver"
_NOT_FOUND: Final = 127
_DEAF_TO: Final = (
    *(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT),
    *(signal.SIGUSR1, signal.SIGUSR2),
)
"""Slurm may send these to every process of a job; only the rank's orders count here."""


def adopt_orphans() -> None:
    """Makes this process the parent of descendants that lose theirs."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants(root: int) -> list[int]:
    """All processes that descend from `root`, parents before their children."""
    children: dict[int, list[int]] = {}
    for pid, parent in _processes():
        children.setdefault(parent, []).append(pid)
    found = list(children.get(root, ()))
    for pid in found:  # grows while it is walked through
        found += children.get(pid, ())
    return found


def _processes() -> Iterator[tuple[int, int]]:
    """Every process that is no zombie and the one that started it or adopted it."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - a Path for each process costs more
        if name.isdigit():
            try:
                text = Path("/proc", name, "stat").read_text(errors="replace")
            except OSError:  # it has ended meanwhile
                continue
            # proc(5): the program's name in brackets may hold anything.
            state, parent = text.rpartition(")")[2].split()[:2]
            if state not in "ZX":
                yield int(name), int(parent)


def kill_all(root: int, mark: bytes = b"") -> None:
    """Kills the descendants of `root` until none is left; they may fork meanwhile.

    Args:
        root: A process.
        mark: Only those that have this in their environment.
    """
    while found := [pid for pid in descendants(root) if mark in (_read(pid, "environ") or b"")]:
        send(found, signal.SIGKILL)
        time.sleep(_KILL_EVERY_S)


def send(pids: Iterable[int], number: int) -> None:
    """Sends a signal to processes that may have ended."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):  # a setuid program is not ours to end
            continue


def without_forks(pids: list[int]) -> list[int]:
    """Those that run a program of their own: a fork has the command line of its parent."""
    lines = {pid: _read(pid, "cmdline") for pid in pids}
    own = (pid for pid in pids if lines[pid] != lines.get(_parent(pid)))
    return [pid for pid in own if _FORK_SERVER not in (lines[pid] or b"")]


def _read(pid: int, name: str) -> bytes | None:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it has ended meanwhile
        return None


def _parent(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[1])


class Guardian:
    """Starts the program and sees to it that nothing of it stays.

    Args:
        status: File descriptor to tell on.
        linger_s: How long processes may stay after the first one has ended, when nobody asked
            the program to end; then they are told to, and after the same time they are killed.
    """

    def __init__(self, status: int, linger_s: float) -> None:
        self._status, self._linger_s = status, linger_s
        self._first: int | None = None
        self._ended_at: float | None = None
        self._asked_to_end = False
        self._reminded = False
        self._orders = b""
        self._wake, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.signal(signal.SIGCHLD, _nothing)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)

    def start(self, command: list[str], passed_over: Iterable[int]) -> None:
        """Starts the program in a session of its own.

        Args:
            command: The program and its arguments.
            passed_over: Signals that it ignores until it wants them.
        """
        guardian = os.getpid()
        self._first = os.fork()
        if self._first == 0:
            _become(command, guardian, passed_over)

    def watch(self) -> None:
        """Returns when no process is left."""
        selector = selectors.DefaultSelector()
        for descriptor in (0, self._wake):
            selector.register(descriptor, selectors.EVENT_READ)
        while self._reap() or self._has_leftovers():
            for key, _ in selector.select(None if self._ended_at is None else _LOOK_EVERY_S):
                if key.fd == 0:
                    self._obey(os.read(0, 4096))
                else:
                    os.read(self._wake, 4096)

    def _reap(self) -> bool:
        """Takes note of the processes that have ended; gives whether the first one goes on."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid == self._first:
                self._ended_at = time.monotonic()
                os.write(self._status, f"first {status}\n".encode())
        return self._ended_at is None

    def _has_leftovers(self) -> bool:
        """Whether other processes are still there; they are told to end when it is time."""
        found = descendants(os.getpid())
        if found and not self._asked_to_end and self._ended_at is not None:
            after_s = time.monotonic() - self._ended_at
            if after_s > 2 * self._linger_s:
                send(found, signal.SIGKILL)
            elif after_s > self._linger_s and not self._reminded:
                self._reminded = True
                send(found, signal.SIGTERM)
        return bool(found)

    def _obey(self, data: bytes) -> None:
        if not data:  # the rank is gone
            kill_all(os.getpid())
            os._exit(0)
        *orders, self._orders = (self._orders + data).split(b"\n")
        for order in orders:
            name, *words = order.decode().split()
            self._asked_to_end = True
            if name == "kill":
                kill_all(os.getpid())
            else:
                self._signal(int(words[0]), words[1])

    def _signal(self, number: int, whom: str) -> None:
        found = descendants(os.getpid())
        if whom == "first":
            found = [pid for pid in found if pid == self._first]
        elif whom == "programs":
            found = without_forks(found)
        send(found, number)


def _become(command: list[str], guardian: int, passed_over: Iterable[int]) -> None:
    """Turns a fork of the guardian into the program."""
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != guardian:  # it was killed before the line above
        os._exit(1)
    for number in (*_DEAF_TO, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    for ignored in passed_over:
        signal.signal(ignored, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is what is wanted
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(_NOT_FOUND)


def _nothing(_: int, __: FrameType | None) -> None:
    """Only the byte in the wake-up pipe counts."""


def main(arguments: list[str]) -> None:
    """Runs a command under guard: STATUS_FD LINGER_S PASSED_OVER COMMAND..."""
    status = int(arguments[0])
    for number in _DEAF_TO:
        signal.signal(number, signal.SIG_IGN)
    os.set_inheritable(status, False)  # noqa: FBT003 - the standard library's call
    adopt_orphans()
    guardian = Guardian(status, float(arguments[1]))
    guardian.start(arguments[3:], [int(word) for word in arguments[2].split(",") if word])
    guardian.watch()


if __name__ == "__main__":
    main(sys.argv[1:])
