"""The processes of a test cluster: started, found and ended by pid.

They are found by what stands in their environment, not by remembered pids: a daemon carries
`SLURM_CONF` of its cluster and `SLURM_TEST_DAEMON`, slurmd hands both on to its slurmstepd, and
Slurm puts `SLURM_CONF` and `SLURM_JOB_ID` into the processes of a job. So a reused pid is never
mistaken for a daemon, and what a killed test run left behind is found without its help.
"""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.errors import SlurmClusterError
from tests.cluster.install import SEARCH_PATH

MARK = "SLURM_TEST_DAEMON"


@dataclass(frozen=True)
class Process:
    """A living process of a cluster.

    Attributes:
        pid: Its process id.
        name: The kernel's short name of its program.
        daemon: The mark: which daemon it is, or whose slurmstepd it is; "" in a job.
        node: The node that a job process runs on; "" for a daemon.
    """

    pid: int
    name: str
    daemon: str
    node: str


def spawn(daemon: str, command: list[str], env: dict[str, str], log: Path) -> int:
    """Start a daemon in a session of its own, its output appended to `log`, and give its pid."""
    program = shutil.which(command[0], path=SEARCH_PATH)
    if program is None:
        raise SlurmClusterError(f"no {command[0]} here; run python -m tests.cluster.install")
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        program,
        command,
        # The marks come last: slurmstepd writes its title over the start of its environment.
        {**os.environ, "PATH": SEARCH_PATH, **env, MARK: daemon},
        setsid=True,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
    )


def processes_of(slurm_conf: Path) -> list[Process]:
    """Give the daemons, the slurmstepds and the job processes of a cluster, and their children."""
    parents: dict[int, int] = {}
    found: dict[int, Process] = {}
    for pid in _pids():
        try:
            parents[pid] = _parent(pid)
            process = _marked(pid, _environment(pid), slurm_conf)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended meanwhile, or it is another user's
        if process is not None:
            found[pid] = process
    # A child that wiped its environment belongs to its parent all the same.
    unmarked = [pid for pid in parents if pid not in found]
    while more := [pid for pid in unmarked if pid not in found and parents[pid] in found]:
        for pid in more:
            parent = found[parents[pid]]
            found[pid] = Process(pid, parent.name, parent.daemon, parent.node)
    return [process for pid, process in found.items() if not _is_zombie(pid)]


def _pids() -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            yield int(entry.name)


def _stat(pid: int) -> list[str]:
    # The program's name comes before, in parentheses, and may hold spaces.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _parent(pid: int) -> int:
    return int(_stat(pid)[1])


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def _is_zombie(pid: int) -> bool:
    try:
        return _stat(pid)[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def start_ticks(pid: int) -> int | None:
    """Give when a process started, in clock ticks since boot; None when it does not live."""
    try:
        state, ticks = (_stat(pid)[field] for field in (0, 19))
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state == "Z" else int(ticks)


def _environment(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    return dict(entry.split("=", 1) for entry in text.split("\0") if "=" in entry)


def _marked(pid: int, env: dict[str, str], slurm_conf: Path) -> Process | None:
    if env.get("SLURM_CONF") != str(slurm_conf):
        return None
    if "SLURM_JOB_ID" in env:
        return Process(pid, _name(pid), daemon="", node=env.get("SLURMD_NODENAME", ""))
    if MARK in env:
        return Process(pid, _name(pid), daemon=env[MARK], node="")
    return None


def send(processes: Iterable[Process], number: signal.Signals) -> None:
    """Send a signal to each that is still there."""
    for process in processes:
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            continue


def end_all(find: Callable[[], list[Process]], limit_s: float = 20) -> None:
    """Kill what `find` gives until it gives nothing.

    Raises:
        SlurmClusterError: With what outlives SIGKILL.
    """
    deadline = time.monotonic() + limit_s
    while living := find():
        if time.monotonic() > deadline:
            raise SlurmClusterError(f"still there after SIGKILL: {living}; end them by pid")
        send(living, signal.SIGKILL)
        time.sleep(0.05)


def reap(pids: Iterable[int]) -> None:
    """Take the exit status of those children that have ended, so that no zombie stays."""
    for pid in pids:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            continue
