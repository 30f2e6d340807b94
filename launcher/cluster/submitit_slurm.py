"""submitit's Slurm executor, bounded in time. Imported only to submit or to show a script."""

import math
import shlex
import sys
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import DelayedSubmission

from launcher.cluster.base import JobRequest
from launcher.pipeline import ClusterSettings

STRAGGLER_S = 120
"""How long a job's other ranks may outlive the first that ended: they would wait for it in
their next collective until its time-out, holding the nodes."""


class Executor(submitit.SlurmExecutor):  # type: ignore[misc]  # submitit is not typed for mypy
    """Submits one job as `request` describes it.

    Args:
        request: The job.
        sbatch_timeout_s: How long to wait for sbatch; submitit waits without a limit.
    """

    def __init__(self, request: JobRequest, *, sbatch_timeout_s: float = 60) -> None:
        super().__init__(folder=request.submitit_folder, python=_python(request))
        self._sbatch_timeout_s = sbatch_timeout_s
        self._pickle = request.submitit_folder / "task.pkl"
        self.update_parameters(**_parameters(request, self._pickle))

    @classmethod
    def affinity(cls) -> int:
        """Says that Slurm is here: a script can be shown without it, and sbatch speaks itself."""
        return 1

    def _make_submission_command(self, submission_file_path: Path) -> list[str]:
        return ["timeout", f"{self._sbatch_timeout_s:g}", "sbatch", str(submission_file_path)]

    def save_task(self, task: Any) -> None:  # noqa: ANN401 - whatever can be pickled and called
        """Saves the task where the job finds it by itself.

        submitit saves it under the job's id once sbatch has answered: a job whose id never
        arrived (time-out, kill) would look for it in vain.
        """
        self._pickle.parent.mkdir(parents=True, exist_ok=True)
        delayed = DelayedSubmission(task)
        delayed.set_timeout(self.parameters["time"], self.max_num_timeout)
        delayed.dump(self._pickle)

    def script(self) -> str:
        """The batch script that `submit` hands to sbatch."""
        return str(self._make_submission_file_text(self._submitit_command_str, ""))


def _parameters(request: JobRequest, pickle: Path) -> dict[str, Any]:
    settings = request.settings
    cpus = settings.cpus_of_task
    # Since 22.05 srun does not take over sbatch's --cpus-per-task: each rank would get one core.
    srun = [f"--wait={STRAGGLER_S}"] + ([f"--cpus-per-task={cpus}"] if cpus else [])
    wanted = {
        "job_name": request.name,
        "nodes": settings.max_nodes,
        "ntasks_per_node": None if settings.is_elastic else settings.tasks,
        "gpus_per_node": settings.gpus_per_node or None,
        "cpus_per_task": cpus,
        "mem": f"{math.ceil(settings.mem_gb * 1024)}M" if settings.mem_gb else None,
        "time": math.ceil(settings.time_limit_s / 60),
        "partition": settings.partition,
        "account": settings.account,
        "qos": settings.qos,
        "constraint": settings.constraint,
        "exclude": settings.exclude,
        "signal_delay_s": settings.signal_lead_s,
        "dependency": "afterok:" + ":".join(request.parents) if request.parents else None,
        "setup": _setup(request, pickle),
        "srun_args": srun,
        "additional_parameters": _further(request),
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _python(request: JobRequest) -> str:
    """The ranks' Python, which ignores SIGTERM until it can listen to it.

    In its first second a signal would kill it without a word, and the job would count as failed.
    Set in the batch script it would not reach srun's tasks.
    """
    python = request.settings.python or shlex.quote(sys.executable)
    return shlex.join(["bash", "-c", f"trap '' TERM; exec {python} \"$@\"", "bash"])


def _setup(request: JobRequest, pickle: Path) -> list[str]:
    code, folder = shlex.quote(str(request.code)), shlex.quote(str(pickle.parent))
    return [
        *_rank_count(request.settings),
        *request.settings.setup,
        # The code snapshot wins over the current folder and over an installed version.
        f"export PYTHONPATH={code}${{PYTHONPATH:+:$PYTHONPATH}}",
        "export PYTHONSAFEPATH=1",
        f"cp -n {folder}/{pickle.name} {folder}/${{SLURM_JOB_ID}}_submitted.pkl",
    ]


def _rank_count(settings: ClusterSettings) -> list[str]:
    """Tells srun, in a job whose nodes are counted only when it starts, how many ranks there are.

    sbatch must not be told: with --ntasks-per-node Slurm (22.05) fixes the number of all ranks at
    the first start, and a job that is requeued waits for as many nodes as it had then.
    """
    if not settings.is_elastic:
        return []
    each = settings.tasks
    count = f"SLURM_NTASKS=$((SLURM_JOB_NUM_NODES * {each}))"
    return [f"export SLURM_NTASKS_PER_NODE={each} {count}"]


def _further(request: JobRequest) -> dict[str, str | int | bool]:
    """Options that submitit has no name for; the user's own win."""
    ours: dict[str, str | int | bool] = {
        "requeue" if request.resumable else "no-requeue": True,
        # A child whose parent failed stays: the pass ties it to the parent's next job.
        "kill-on-invalid-dep": "no",
    }
    settings = request.settings
    if settings.is_elastic:
        # submitit counts with `nodes`. The cores of a node's ranks come without naming the ranks.
        ours |= {
            "nodes": settings.nodes,
            "mincpus": settings.tasks * (settings.cpus_of_task or 1),
        }
    if settings.reservation:
        ours["reservation"] = settings.reservation
    theirs = {name.replace("_", "-"): value for name, value in settings.sbatch.items()}
    return {name: value for name, value in (ours | theirs).items() if value is not False}
