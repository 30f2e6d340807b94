"""A Slurm on paper that behaves as SLURM.md measured it, and does not always show its true state.

`View` is what one pass sees of the `Scheduler`, and what can go wrong between the two: answers that
lag or do not come, an sbatch that times out although the job exists or comes later, finished jobs
that are forgotten (`MinJobAge`), jobs that the controller has lost while they run. What a job does
while it runs is in `model_training`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from launcher.cluster.base import JobRequest, NoAnswer, Rows, SubmitError
from launcher.cluster.notice import Notice
from launcher.errors import ClusterError
from tests.launcher.model_scheduler import Job, Scheduler


class KilledError(BaseException):
    """The launcher was killed here: nothing of it may catch this."""


@dataclass
class View:
    """The cluster as one pass has it; implements `launcher.cluster.base.Cluster`.

    Attributes:
        truth: The scheduler.
        asked: Called with each request before it is handled.
        edges: Called with a stage and its job's new parents.
        before: Called with the name of each call.
        seen: Jobs that the last answer of the queue showed as live.
    """

    truth: Scheduler
    asked: Callable[["View", JobRequest], None] = lambda *_: None
    edges: Callable[[str, Sequence[str]], None] = lambda *_: None
    before: Callable[[str], None] = lambda _: None
    name: str = "slurm"
    holds_dependencies: bool = True
    seen: frozenset[str] = frozenset()

    def submit(self, request: JobRequest) -> str:
        self.before("submit")
        self.asked(self, request)
        truth = self.truth
        mode = truth.sbatch.pop(0) if truth.sbatch else "ok"
        if truth.queue_silent or mode == "lost":
            raise SubmitError("sbatch: Socket timed out", refused=False)
        if mode == "refused":
            raise SubmitError("sbatch: Invalid account", refused=True)
        if mode.startswith("late"):
            truth.late.append((truth.at + float(mode[4:]), request))
            raise SubmitError("sbatch: Socket timed out", refused=False)
        if mode == "killed before":
            raise KilledError
        job = truth.add(request)
        if mode == "killed after":
            raise KilledError
        if mode == "silent":
            raise SubmitError("sbatch: Socket timed out", refused=False)
        return job.slurm_id

    def script(self, request: JobRequest) -> str:
        return f"script of {request.stage}"

    def live(self) -> Rows:
        self.before("live")
        self.seen = frozenset()
        if self.truth.queue_silent:
            return NoAnswer("squeue: Unable to contact slurm controller")
        rows = list(self.truth.shown())
        self.seen = frozenset(row.slurm_id for row in rows if row.live)
        self.truth.shown_ended.update(row.slurm_id for row in rows if not row.live)
        return rows

    def history(self, slurm_ids: Sequence[str], *, since: float | None = None) -> Rows:
        self.before("history")
        if self.truth.past_silent or not self.truth.accounts:
            return NoAnswer("sacct: Connection refused")
        found = []
        for rows in self.truth.recorded():
            ended_at = rows[-1].ended_at
            recent = since is not None and (ended_at is None or ended_at >= since)
            if recent or (since is None and rows[0].slurm_id in slurm_ids):
                found += rows
        return found

    def stop(self, slurm_id: str) -> None:  # noqa: ARG002 - no run here has a limit
        self._act("stop")

    def dump(self, slurm_id: str) -> None:  # noqa: ARG002 - there are no stacks here
        self._act("dump")

    def cancel(self, slurm_id: str) -> None:
        self._act("cancel")
        job = self.truth.jobs[slurm_id]
        job.ours = True
        if job.live and not job.lost:
            self.truth.end(job, "CANCELLED", by=self.truth.uid)

    def hold(self, slurm_id: str) -> None:
        self._waiting("hold", slurm_id).hold = "JobHeldUser"
        self.truth.note(self.truth.jobs[slurm_id])

    def release(self, slurm_id: str) -> None:
        self._waiting("release", slurm_id).hold = ""
        self.truth.note(self.truth.jobs[slurm_id])

    def rewire(self, slurm_id: str, parents: Sequence[str]) -> None:
        job = self._waiting("rewire", slurm_id)
        self.edges(job.stage, parents)
        job.waits_for, job.never = self.truth.edges(parents)
        self.truth.note(job)

    def num_nodes(self, partition: str | None) -> int | None:  # noqa: ARG002 - there is one
        return 20

    def notice(self, partition: str | None) -> Notice:
        return Notice(partition or "default", preempts=False, grace_s=0.0)

    def _act(self, what: str) -> None:
        self.before(what)
        if self.truth.queue_silent:
            raise ClusterError(f"scontrol {what}: Unable to contact slurm controller")

    def _waiting(self, what: str, slurm_id: str) -> Job:
        self._act(what)
        if self.truth.forgotten(slurm_id):
            raise ClusterError(f"scontrol {what}: Invalid job id specified")
        job = self.truth.jobs[slurm_id]
        if job.now.word != "PENDING":
            raise ClusterError(f"scontrol {what}: Job is no longer pending execution")
        return job
