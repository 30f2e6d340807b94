"""Slurm: submission through submitit, two batched questions, and what to say when it is silent."""

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import replace
from io import StringIO

from launcher.cluster import parse
from launcher.cluster.base import JobRequest, JobRow, NoAnswer, Rows, SubmitError
from launcher.cluster.environment import changed
from launcher.cluster.notice import Notice, read_notice
from launcher.cluster.trial import ask_start
from launcher.errors import ClusterError
from launcher.identity import user_name

TIMED_OUT = 124
"""How timeout(1) ends when it had to."""
_SILENCE = (
    *("Unable to contact", "Socket timed out", "Zero Bytes", "Connection refused"),
    *("Message receive failure", "Communication connection failure", "Could not make sense"),
)
_GONE = ("Invalid job id", "already completing or completed", "already finished")
_NO_CLUSTER = "Could not establish a configuration source"
"""Slurm's programs are here, but no slurm.conf."""
_LEAKING = ("SLURM_", "SBATCH_", "SRUN_", "SUBMITIT_")


class SlurmCluster:
    """The cluster that Slurm's programs on PATH speak for.

    Args:
        query_timeout_s: How long to wait for an answer; Slurm itself gives up after about 10 s.
        sbatch_timeout_s: How long to wait for sbatch, which tries again by itself.
    """

    name = "slurm"
    holds_dependencies = True

    def __init__(self, *, query_timeout_s: float = 15, sbatch_timeout_s: float = 60) -> None:
        self._query_timeout_s = query_timeout_s
        self._sbatch_timeout_s = sbatch_timeout_s

    def submit(self, request: JobRequest) -> str:
        """Hands a job to sbatch and gives its Slurm id.

        Raises:
            SubmitError: sbatch refused it, or did not answer.
        """
        from submitit.core.utils import (  # noqa: PLC0415 - `status` must not pay for submitit
            FailedJobError,
            FailedSubmissionError,
        )

        from launcher.cluster.submitit_slurm import Executor  # noqa: PLC0415

        if shutil.which("sbatch") is None:
            raise SubmitError(_not_here(request, "sbatch is not on PATH"), refused=True)
        executor = Executor(request, sbatch_timeout_s=self._sbatch_timeout_s)
        executor.save_task(request.task)
        try:
            # submitit prints sbatch's words as well; they are in the error.
            with changed(without_job()), redirect_stderr(StringIO()):
                job = executor.submit(request.task)
        except (FailedJobError, FailedSubmissionError) as error:
            raise _submit_error(request, error) from error
        return str(job.job_id)

    def script(self, request: JobRequest) -> str:
        """The batch script that `submit` would hand to sbatch; touches nothing."""
        from launcher.cluster.submitit_slurm import Executor  # noqa: PLC0415 - see submit

        return Executor(request).script()

    def live(self) -> Rows:
        """All jobs of this user that slurmctld knows, those ended a little while ago included."""
        me = user_name()
        command = ["squeue", "-h", "-a", "-t", "all", "-u", me, "-O", parse.QUEUE_FORMAT]
        return self._ask(command, parse.parse_queue)

    def history(self, slurm_ids: Sequence[str], *, since: float | None = None) -> Rows:
        """Every attempt of these jobs that accounting knows, or of all since a moment."""
        command = ["sacct", "-D", "-X", "-n", "--parsable2", "--delimiter", parse.SEPARATOR]
        command += ["-o", parse.HISTORY_FIELDS]
        if since is not None:
            moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(since))
            return self._ask([*command, "-u", user_name(), "-S", moment], parse.parse_history)
        if not slurm_ids:
            return []
        return self._ask([*command, "-j", ",".join(slurm_ids)], parse.parse_history)

    def stop(self, slurm_id: str) -> None:
        """Sends SIGTERM to a job's ranks, as a preemption does.

        Raises:
            ClusterError: Slurm did not answer.
        """
        self._act(["scancel", "--signal=TERM", slurm_id], may_be_gone=True)

    def cancel(self, slurm_id: str) -> None:
        """Cancels a job.

        Raises:
            ClusterError: Slurm did not answer.
        """
        self._act(["scancel", slurm_id], may_be_gone=True)

    def dump(self, slurm_id: str) -> None:
        """Sends SIGUSR1 to a job's ranks.

        Raises:
            ClusterError: Slurm did not answer.
        """
        self._act(["scancel", "--signal=USR1", slurm_id], may_be_gone=True)

    def hold(self, slurm_id: str) -> None:
        """Holds a job that waits.

        Raises:
            ClusterError: Slurm did not answer, or the job does not wait.
        """
        self._act(["scontrol", "hold", slurm_id])

    def release(self, slurm_id: str) -> None:
        """Releases a held job.

        Raises:
            ClusterError: Slurm did not answer, or the job is not held.
        """
        self._act(["scontrol", "release", slurm_id])

    def rewire(self, slurm_id: str, parents: Sequence[str]) -> None:
        """Replaces a job's dependency.

        Raises:
            ClusterError: Slurm did not answer, or the job does not wait any more.
        """
        depends_on = f"afterok:{':'.join(parents)}" if parents else ""
        self._act(["scontrol", "update", f"jobid={slurm_id}", f"dependency={depends_on}"])

    def num_nodes(self, partition: str | None) -> int | None:
        """How many nodes a partition has."""
        said = _run(["sinfo", "-h", "-o", "%P %D"], self._query_timeout_s)
        if isinstance(said, NoAnswer):
            return None
        for line in said.splitlines():
            name, _, count = line.partition(" ")
            is_default = partition is None and name.endswith("*")
            if is_default or name.removesuffix("*") == partition:
                return int(count)
        return None

    def notice(self, partition: str | None) -> Notice | NoAnswer:
        """What notice a partition gives before it takes nodes away."""
        return read_notice(lambda command: _run(command, self._query_timeout_s), partition)

    def starts_at(self, slurm_id: str) -> float | None:
        """When Slurm expects to start a job."""
        said = _run(["squeue", "-h", "--start", "-j", slurm_id, "-o", "%S"], self._query_timeout_s)
        moment = "" if isinstance(said, NoAnswer) else said.strip()
        return float(moment) if moment.isdigit() else None

    def would_start(self, request: JobRequest) -> float | NoAnswer | None:
        """When Slurm would start a job that is handed in now; None: there is no Slurm here."""
        if shutil.which("sbatch") is None:
            return None
        alone = replace(request, parents=())  # the job would wait for ids that nobody has yet
        said = ask_start(self.script(alone), self._query_timeout_s, without_job())
        return None if isinstance(said, NoAnswer) and _NO_CLUSTER in said.what else said

    def _act(self, command: list[str], *, may_be_gone: bool = False) -> None:
        said = _run(command, self._query_timeout_s)
        if not isinstance(said, NoAnswer):
            return
        if may_be_gone and any(sign in said.what for sign in _GONE):
            return
        raise ClusterError(f"{said.what}; try again, or: {shlex.join(command)}")

    def _ask(self, command: list[str], read: Callable[[str], list[JobRow]]) -> Rows:
        said = _run(command, self._query_timeout_s)
        if isinstance(said, NoAnswer):
            return said
        try:
            return read(said)
        except ValueError as error:
            return NoAnswer(str(error))


def slurm_answers() -> bool:
    """Whether this machine has Slurm's programs and a controller behind them."""
    if shutil.which("sbatch") is None:
        return False
    return not isinstance(_run(["sinfo", "-h", "-o", "%P"], timeout_s=15), NoAnswer)


def _run(command: list[str], timeout_s: float) -> str | NoAnswer:
    program = command[0]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            env={**os.environ, "SLURM_TIME_FORMAT": "%s", "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired:
        return NoAnswer(f"{program}: no answer within {timeout_s:g} s")
    except OSError as error:
        return NoAnswer(f"{program}: {error.strerror}")
    if done.returncode != 0:
        return NoAnswer(
            parse.complaint(program, done.stderr) or f"{program}: exit code {done.returncode}"
        )
    return done.stdout


def ask(command: list[str], *, timeout_s: float = 15) -> str | NoAnswer:
    """What one of Slurm's programs prints."""
    return _run(command, timeout_s)


def without_job() -> dict[str, str | None]:
    """Keeps a launcher that itself runs in a job from passing on what that job was given."""
    leaking = [name for name in os.environ if name.startswith(_LEAKING) and name != "SLURM_CONF"]
    return dict.fromkeys(leaking)


def _submit_error(request: JobRequest, error: Exception) -> SubmitError:
    cause = error.__cause__
    code = cause.returncode if isinstance(cause, subprocess.CalledProcessError) else None
    said = parse.complaint("sbatch", str(error))
    if code in (None, TIMED_OUT) or not said or any(sign in said for sign in _SILENCE):
        said = said or ("sbatch: no answer" if code == TIMED_OUT else f"sbatch: exit code {code}")
        return SubmitError(
            f"stage {request.stage}: {said}; whether Slurm took the job {request.name} will show: "
            "look with `python -m launcher status` when Slurm answers again",
            refused=False,
        )
    if _NO_CLUSTER in said:
        why = "sbatch finds no slurm.conf, neither by SLURM_CONF nor at its usual place"
        return SubmitError(_not_here(request, why), refused=True)
    return SubmitError(
        f"stage {request.stage}: {said}; Slurm refused it: correct the stage's `cluster` settings",
        refused=True,
    )


def _not_here(request: JobRequest, why: str) -> str:
    return (
        f"stage {request.stage}: {why}; run the launcher on a login node of the cluster, or here "
        "with --set cluster.backend=local"
    )
