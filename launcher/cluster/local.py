"""This machine as a cluster: submitit's local executor, one controller process per job.

A job's id is its token, which stands in its controller's command line. So the process table
itself says which jobs run: no pid file that can go stale or point at another process.
"""

import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from launcher.cluster.base import JobRequest, JobRow, NoAnswer, Rows, job_name
from launcher.cluster.environment import changed
from launcher.cluster.notice import Notice
from launcher.cluster.states import WORD_OF_GONE, WORD_OF_RUNNING
from launcher.errors import UsageError

_CONTROLLER = "submitit.local._local"


class LocalCluster:
    """Jobs as processes on this machine. It cannot make a job wait for another.

    Args:
        jobs: Those that this process has started already, by their ids; submitit's.
    """

    name = "local"
    holds_dependencies = False

    def __init__(self, jobs: Mapping[str, Any] = MappingProxyType({})) -> None:
        self._jobs = dict(jobs)

    def submit(self, request: JobRequest) -> str:
        """Starts a job and gives its id, the token.

        Raises:
            UsageError: It asks for more than one node.
        """
        _check(request)
        import submitit  # noqa: PLC0415 - `status` must not pay for it

        settings = request.settings
        executor = submitit.LocalExecutor(request.submitit_folder, python=_python(request))
        executor.update_parameters(
            timeout_min=settings.time_limit_s / 60,
            signal_delay_s=settings.signal_lead_s,
            gpus_per_node=settings.gpus_per_node,
            tasks_per_node=settings.tasks,
        )
        with changed(_environment(request)), _ignored_signals():
            self._jobs[request.token] = executor.submit(request.task)
        return request.token

    def script(self, request: JobRequest) -> str:
        """A shell script that does what the ranks of the job would do; touches nothing."""
        _check(request)
        settings = request.settings
        ranks = f"# {settings.tasks} ranks, each of them:"
        exports = [f"export {name}={shlex.quote(v)}" for name, v in _environment(request).items()]
        folder = shlex.quote(str(request.submitit_folder))
        command = f"{_python_alone(request)} -u -m submitit.core._submit {folder}"
        lines = ["#!/bin/bash", f"# {request.name}", ranks, *exports, *settings.setup, command]
        return "\n".join([*lines, ""])

    def live(self) -> Rows:
        """The jobs of this user whose controllers run on this machine."""
        return [_row(pid, folder) for pid, folder in self._running()]

    def history(self, slurm_ids: Sequence[str], *, since: float | None = None) -> Rows:  # noqa: ARG002 - all that runs here is in the process table
        """Says of each job that does not run here that it is gone; how, its event file tells."""
        running = {folder.name for _, folder in self._running()}
        return [
            JobRow(slurm_id=token, restart=0, name="", word=WORD_OF_GONE, source="local")
            for token in slurm_ids
            if token not in running
        ]

    def stop(self, slurm_id: str) -> None:
        """Sends SIGTERM to a job's controller, which passes it on to the ranks.

        A job that is just starting may not hear it.
        """
        for pid, folder in _controllers():
            if folder.name == slurm_id:
                with suppress(ProcessLookupError):  # it has ended meanwhile
                    os.kill(pid, signal.SIGTERM)

    def cancel(self, slurm_id: str) -> None:
        """Like `stop`: a job that has saved is no worse off."""
        self.stop(slurm_id)

    def dump(self, slurm_id: str) -> None:
        """Does nothing: submitit's controller would pass SIGUSR1 on as a time-out."""

    def hold(self, slurm_id: str) -> None:
        """Does nothing: no job waits here."""

    def release(self, slurm_id: str) -> None:
        """Does nothing: no job waits here."""

    def rewire(self, slurm_id: str, parents: Sequence[str]) -> None:
        """Does nothing: no job waits here."""

    def num_nodes(self, partition: str | None) -> int | None:  # noqa: ARG002 - there are none
        """One: this machine."""
        return 1

    def notice(self, partition: str | None) -> Notice | NoAnswer:  # noqa: ARG002 - there are none
        """Nobody takes this machine away."""
        return Notice("local", preempts=False, grace_s=0.0)

    def starts_at(self, slurm_id: str) -> float | None:  # noqa: ARG002 - none waits
        """None: no job waits here."""
        return None

    def would_start(self, request: JobRequest) -> float | NoAnswer | None:  # noqa: ARG002 - likewise
        """None: there is no queue here."""
        return None

    def _running(self) -> list[tuple[int, Path]]:
        """The controllers that run; takes note of the ends of our own, so that no zombie stays.

        For a moment at its start and at its end a process has no command line. Of our own we
        know which of the two it is, and wait until it shows.
        """
        while True:
            found = list(_controllers())
            hidden = self._jobs.keys() - {folder.name for _, folder in found}
            for token in [token for token in hidden if self._jobs[token].done()]:
                del self._jobs[token]
                hidden.remove(token)
            if not hidden:
                return found
            time.sleep(0.01)


def _check(request: JobRequest) -> None:
    if request.settings.min_nodes > 1:
        raise UsageError(
            f"stage {request.stage}: cluster.nodes is {request.settings.nodes}, but the local "
            "backend is one machine; set cluster.nodes=1, or cluster.backend=slurm"
        )


def _python(request: JobRequest) -> str:
    """The ranks' Python, started by a shell that runs the set-up lines and becomes Python.

    Until a rank listens to SIGTERM, which would kill it, it ignores the signal.
    """
    lines = ["trap '' TERM", *request.settings.setup, f'exec {_python_alone(request)} "$@"']
    return shlex.join(["bash", "-c", "\n".join(lines), "bash"])


def _python_alone(request: JobRequest) -> str:
    return request.settings.python or shlex.quote(sys.executable)


def _environment(request: JobRequest) -> dict[str, str]:
    """What the ranks find: the code snapshot before anything else."""
    return {"PYTHONPATH": str(request.code), "PYTHONSAFEPATH": "1"}


@contextmanager
def _ignored_signals() -> Iterator[None]:
    """Processes started in here do not hear Ctrl-C, the end of the terminal, nor SIGTERM so far.

    A terminal sends Ctrl-C to all processes in the foreground. The launcher alone must get it:
    it asks the job to save, where SIGINT would kill the ranks in the middle of a step. An
    ignored signal stays ignored in the programs that a process starts. SIGTERM would kill a
    controller that has not come as far as to listen to it.
    """
    numbers = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _controllers() -> Iterator[tuple[int, Path]]:
    """Pid and submitit folder of every controller of this user; the folder's name is the token."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid != os.getuid():
                continue
            arguments = (process / "cmdline").read_text(errors="replace").split("\0")
        except OSError:  # it has ended meanwhile
            continue
        if _CONTROLLER in arguments:
            yield int(process.name), Path(arguments[arguments.index(_CONTROLLER) + 1])


def _row(pid: int, folder: Path) -> JobRow:
    # .../stages/<stage>/submitit/<token>
    started_at = _started_at(pid)
    return JobRow(
        slurm_id=folder.name,
        restart=0,
        name=job_name(folder.parent.parent.name, folder.name),
        word=WORD_OF_RUNNING,
        nodes=os.uname().nodename,
        num_nodes=1,
        queued_at=started_at,
        started_at=started_at,
        source="local",
    )


def _started_at(pid: int) -> float | None:
    """When a process started, by the kernel's count since boot; None when it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # proc(5): field 22; the second, the program's name in brackets, may hold spaces.
    ticks = int(text.rpartition(")")[2].split()[19])
    booted_at = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return booted_at + ticks / os.sysconf("SC_CLK_TCK")
