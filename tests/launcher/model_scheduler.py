"""The truth behind the model cluster: jobs, their attempts, their dependencies, and time."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from jobs.contract.task import StageTask
from launcher.cluster.base import JobRequest, JobRow, SubmitError

SLICE_S = 60.0
"""How far time goes at once; also how long a step takes."""
REQUEUE_DELAY_S = 120.0
LIVE = ("PENDING", "RUNNING")


@dataclass
class Try:
    """One attempt of a job, as the controller knows it."""

    queued_at: float
    word: str = "PENDING"
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    by: int | None = None


@dataclass
class Job:
    """A job as it truly is.

    Attributes:
        request: What was asked for.
        slurm_id: Its number.
        waits_for: Jobs that have to succeed first.
        tries: Its attempts; the last one is the present.
        never: One of those that it waits for can never succeed any more.
        hold: Why it does not start.
        begins_at: Slurm does not start it before.
        lost: The controller has forgotten it, and its ranks run on.
        late: It came to be after the launcher had stopped waiting for sbatch.
        ours: The launcher has cancelled it.
        told: What accounting and the queue would have said, by the time of the change.
    """

    request: JobRequest
    slurm_id: str
    waits_for: list[str]
    tries: list[Try]
    never: bool = False
    hold: str = ""
    begins_at: float = 0.0
    lost: bool = False
    late: bool = False
    ours: bool = False
    told: list[tuple[float, JobRow, tuple[JobRow, ...]]] = field(default_factory=list)

    @property
    def stage(self) -> str:
        return self.request.stage

    @property
    def fence(self) -> int:
        assert isinstance(self.request.task, StageTask)
        return self.request.task.fence

    @property
    def now(self) -> Try:
        return self.tries[-1]

    @property
    def live(self) -> bool:
        return self.now.word in LIVE

    @property
    def running(self) -> bool:
        return self.now.word == "RUNNING"

    @property
    def restart(self) -> int:
        return len(self.tries) - 1

    @property
    def reason(self) -> str:
        if self.now.word != "PENDING":
            return ""
        if self.hold:
            return self.hold
        if self.waits_for:
            return "DependencyNeverSatisfied" if self.never else "Dependency"
        return "BeginTime" if self.restart else "Resources"


@dataclass
class Scheduler:
    """The truth.

    Attributes:
        at: True time, Unix seconds.
        skew_s: By how much the controller's clock is ahead.
        old: It is a 22.05; else a 26.11.
        min_job_age_s: How long the queue shows what has ended.
        accounts: There is an accounting.
        kills_invalid: The site ends jobs whose parents have failed.
        queue_lag_s: How old the queue's answers are; `past_lag_s`: accounting's.
        queue_silent: The controller does not answer; `past_silent`: accounting.
        sbatch: What the next calls do: killed before, killed after, silent, lost, late, refused.
        uid: Of the launcher's user.
        on_start: Called when a job gets its nodes; `on_slice`: while it has them.
    """

    at: float
    uid: int
    skew_s: float = 0.0
    old: bool = True
    min_job_age_s: float = 300.0
    accounts: bool = True
    kills_invalid: bool = False
    queue_lag_s: float = 0.0
    past_lag_s: float = 0.0
    queue_silent: bool = False
    past_silent: bool = False
    sbatch: list[str] = field(default_factory=list)
    jobs: dict[str, Job] = field(default_factory=dict)
    shown_ended: set[str] = field(default_factory=set)
    late: list[tuple[float, JobRequest]] = field(default_factory=list)
    on_start: Callable[[Job], None] = lambda _: None
    on_slice: Callable[[Job], None] = lambda _: None

    def add(self, request: JobRequest, *, late: bool = False) -> Job:
        """Makes a job; unknown parents are satisfied on the old Slurm, refused on the new one."""
        waits_for, never = self.edges(request.parents)
        number = str(1000 + len(self.jobs))
        job = Job(request, number, waits_for, [Try(self.at)], never=never, late=late)
        self.jobs[number] = job
        self.note(job)
        return job

    def edges(self, parents: Sequence[str]) -> tuple[list[str], bool]:
        known = {number: self.jobs[number] for number in parents if not self.forgotten(number)}
        if len(known) < len(parents) and not self.old:
            raise SubmitError("Job dependency problem", refused=True)
        waits = [number for number, job in known.items() if job.now.word != "COMPLETED"]
        return waits, any(not known[number].live for number in waits)

    def forgotten(self, number: str) -> bool:
        """Whether the queue has no such job any more."""
        job = self.jobs.get(number)
        if job is None or job.lost:
            return True
        ended_at = job.now.ended_at
        return ended_at is not None and ended_at + self.min_job_age_s < self.at

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        until = self.at + seconds
        while self.at < until:
            self.at = min(until, self.at + SLICE_S)
            for due in [each for each in self.late if each[0] <= self.at]:
                self.late.remove(due)
                with suppress(SubmitError):
                    self.add(due[1], late=True)
            for job in [job for job in self.jobs.values() if job.live]:
                if job.running:
                    self.on_slice(job)
                elif self._may_start(job):
                    job.now.word, job.now.started_at = "RUNNING", self.at
                    self.note(job)
                    self.on_start(job)

    def _may_start(self, job: Job) -> bool:
        return not (job.hold or job.waits_for or job.begins_at > self.at)

    def end(
        self, job: Job, word: str, code: int = 0, *, by: int | None = None, again: bool = False
    ) -> None:
        """Ends an attempt; `again`: the job goes back into the queue under its own number."""
        job.now.word, job.now.ended_at, job.now.exit_code, job.now.by = word, self.at, code, by
        job.hold = ""
        if again:
            job.tries.append(Try(self.at))
            job.begins_at = self.at + REQUEUE_DELAY_S
        self.note(job)
        if not again:
            self._tell_children(job, succeeded=word == "COMPLETED" and not job.lost)

    def _tell_children(self, job: Job, *, succeeded: bool) -> None:
        for child in list(self.jobs.values()):
            if not child.live or job.slurm_id not in child.waits_for:
                continue
            if succeeded:
                child.waits_for.remove(job.slurm_id)
            else:
                child.never = True
            self.note(child)
            if child.never and self.kills_invalid:
                self.end(child, "CANCELLED")

    def note(self, job: Job) -> None:
        """Writes down what would be said of a job from now on; of a lost one nobody learns more."""
        if job.lost:
            return
        rows = tuple(self._row(job, number) for number in range(len(job.tries)))
        queue = replace(rows[-1], source="squeue", reason=job.reason, cancelled_by=None)
        job.told.append((self.at, queue, rows))

    def _row(self, job: Job, number: int) -> JobRow:
        each = job.tries[number]
        by = f" by {each.by}" if each.by is not None else ""
        waits = each.word == "PENDING" and bool(job.waits_for or job.hold)
        return JobRow(
            slurm_id=job.slurm_id,
            restart=number,
            name=job.request.name,
            word=each.word + by,
            nodes="n1" if each.started_at is not None else "",
            queued_at=None if waits else each.queued_at + self.skew_s,
            started_at=None if each.started_at is None else each.started_at + self.skew_s,
            ended_at=None if each.ended_at is None else each.ended_at + self.skew_s,
            exit_code=each.exit_code,
            cancelled_by=each.by,
            source="sacct",
        )

    def shown(self) -> Iterator[JobRow]:
        """What the queue shows, as old as its answers are."""
        for job in self.jobs.values():
            told = [queue for at, queue, _ in job.told if at <= self.at - self.queue_lag_s]
            if told and not self.forgotten(job.slurm_id):
                yield replace(told[-1], word=told[-1].word.partition(" by ")[0])

    def recorded(self) -> Iterator[tuple[JobRow, ...]]:
        """What accounting has of each job."""
        for job in self.jobs.values():
            told = [rows for at, _, rows in job.told if at <= self.at - self.past_lag_s]
            if told:
                yield told[-1]
