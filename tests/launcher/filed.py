"""Slurm on paper whose jobs lie in a file: they outlive the launcher that is killed.

It does what SLURM.md measured on 22.05: a job that saved and exits with 75 is FAILED, its children
wait in vain, an unknown parent counts as done. `tick` lets time pass, and jobs run.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from jobs.contract.events import EventWriter
from jobs.contract.files import write_atomic
from jobs.contract.manifest import Manifest, describe, newest_valid, write_manifest
from jobs.contract.paths import AttemptKey, StageFolder
from launcher.cluster.base import JobRequest, JobRow, Rows
from launcher.cluster.notice import Notice

STEPS = 3
TICK_S = 40.0
LIVE = ("PENDING", "RUNNING")


@dataclass
class Job:
    """A job; `past` are the attempts that Slurm requeued, each with its end."""

    slurm_id: str
    name: str
    folder: str
    parents: list[str]
    queued_at: float
    word: str = "PENDING"
    restart: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    past: list[dict[str, float | None]] = field(default_factory=list)
    shown_from: float = 0.0


@dataclass(frozen=True)
class FiledSlurm:
    """The cluster.

    Attributes:
        file: Holds the jobs and the time.
        lag_s: A new job is shown after so long at most; the first at once, the second after half.
    """

    file: Path
    lag_s: float = 2 * TICK_S
    name: str = "slurm"
    holds_dependencies: bool = True

    def read(self) -> tuple[float, list[Job]]:
        """The time, Unix seconds, and all jobs."""
        if not self.file.exists():
            return 1_800_000_000.0, []
        held = json.loads(self.file.read_text())
        return held["now"], [Job(**job) for job in held["jobs"]]

    def _write(self, now: float, jobs: Sequence[Job]) -> None:
        held = {"now": now, "jobs": [asdict(job) for job in jobs]}
        write_atomic(self.file, json.dumps(held))

    def clock(self) -> float:
        """Its time, for the launcher too."""
        return self.read()[0]

    def twice(self) -> list[str]:
        """Stages that have two live jobs."""
        folders = [job.folder for job in self.read()[1] if job.word in LIVE]
        return sorted({folder for folder in folders if folders.count(folder) > 1})

    def submit(self, request: JobRequest) -> str:
        now, jobs = self.read()
        folder, parents = str(request.folder.root), list(request.parents)
        job = Job(str(len(jobs) + 1), request.name, folder, parents, now)
        job.shown_from = now + self.lag_s * (len(jobs) % 3) / 2
        self._write(now, [*jobs, job])
        return job.slurm_id

    def script(self, request: JobRequest) -> str:
        return f"script of {request.stage}"

    def live(self) -> Rows:
        now, jobs = self.read()
        by_id = {job.slurm_id: job for job in jobs}
        return [_row(job, by_id) for job in jobs if job.shown_from <= now]

    def history(self, slurm_ids: Sequence[str], *, since: float | None = None) -> Rows:
        now, jobs = self.read()
        shown = [job for job in jobs if job.shown_from <= now]
        asked = [job for job in shown if since is not None or job.slurm_id in slurm_ids]
        return [row for job in asked for row in _past_rows(job)]

    def stop(self, slurm_id: str) -> None:
        """Jobs on paper hear no signals."""

    def dump(self, slurm_id: str) -> None:
        """Nor this one."""

    def cancel(self, slurm_id: str) -> None:
        self._change(slurm_id, word="CANCELLED")

    def hold(self, slurm_id: str) -> None:
        raise AssertionError(f"nobody asked to hold job {slurm_id}")

    def release(self, slurm_id: str) -> None:
        raise AssertionError(f"nobody held job {slurm_id}")

    def rewire(self, slurm_id: str, parents: Sequence[str]) -> None:
        self._change(slurm_id, parents=list(parents))

    def num_nodes(self, partition: str | None) -> int | None:  # noqa: ARG002 - there is one
        return 4

    def notice(self, partition: str | None) -> Notice:
        return Notice(partition or "default", preempts=False, grace_s=0.0)

    def _change(self, slurm_id: str, **fields: object) -> None:
        now, jobs = self.read()
        self._write(now, [replace(j, **fields) if j.slurm_id == slurm_id else j for j in jobs])  # type: ignore[arg-type]

    def tick(self, chance: random.Random) -> None:
        """A while passes: jobs start, save, end, are preempted."""
        now, jobs = self.read()
        now += TICK_S
        by_id = {job.slurm_id: job for job in jobs}
        for job in jobs:
            if job.word == "RUNNING":
                _run(job, now, chance)
            elif job.word == "PENDING" and not _waits_for(job, by_id) and chance.random() < 0.8:
                job.word, job.started_at = "RUNNING", now
        self._write(now, jobs)


def _waits_for(job: Job, by_id: dict[str, Job]) -> list[Job]:
    parents = [by_id[name] for name in job.parents if name in by_id]
    return [parent for parent in parents if parent.word != "COMPLETED"]


def _run(job: Job, now: float, chance: random.Random) -> None:
    """Runs a job to the end of its attempt: one step further, or killed without a word."""
    folder = StageFolder(Path(job.folder))
    events = EventWriter(folder.events_file(AttemptKey(job.slurm_id, job.restart)))
    found = newest_valid(folder.checkpoints, digests=False)
    step = found[1].step if found else 0
    events.write("begin", hosts=["node1"], world_size=1)
    events.write("started", resume_step=step, total_steps=STEPS)
    fate = chance.random()
    if fate < 0.15:
        _end(job, "PREEMPTED", 0, now)
    else:
        step += 1
        final = step == STEPS
        _save(folder, step, final=final)
        events.write("checkpoint", step=step, final=final)
        code = 0 if final else 75
        events.write("exit", outcome="done" if final else "stopped", code=code, step=step)
        if not final and fate < 0.4:  # it puts itself back into the queue
            job.past.append({"started_at": job.started_at, "ended_at": now})
            job.restart, job.word, job.started_at = job.restart + 1, "PENDING", None
        else:
            _end(job, "COMPLETED" if final else "FAILED", code, now)
    events.close()


def _end(job: Job, word: str, code: int, now: float) -> None:
    job.word, job.exit_code, job.ended_at = word, code, now


def _save(folder: StageFolder, step: int, *, final: bool) -> None:
    checkpoint = folder.checkpoint(step, final=final)
    checkpoint.mkdir(parents=True, exist_ok=True)
    (checkpoint / "weights").write_text(f"{step}")
    files = (describe(checkpoint / "weights", "weights"),)
    write_manifest(checkpoint, Manifest(step=step, files=files, final=final))


def _row(job: Job, by_id: dict[str, Job]) -> JobRow:
    blocking = _waits_for(job, by_id) if job.word == "PENDING" else []
    dead = any(parent.word not in LIVE for parent in blocking)
    reason = "DependencyNeverSatisfied" if dead else "Dependency" if blocking else ""
    return JobRow(
        slurm_id=job.slurm_id,
        restart=job.restart,
        name=job.name,
        word=job.word,
        reason=reason,
        queued_at=job.queued_at,
        started_at=job.started_at,
        ended_at=job.ended_at,
        exit_code=job.exit_code,
        source="squeue",
    )


def _past_rows(job: Job) -> list[JobRow]:
    row = replace(_row(job, {}), source="sacct")
    ends = [{"word": "REQUEUED", "restart": n, **end} for n, end in enumerate(job.past)]
    return [*(replace(row, **end) for end in ends), row]  # type: ignore[arg-type]
