"""What jobs on the model cluster do: they count, save, tell events, and keep to the gates.

Files are the real ones of `jobs.contract`; only their times are those of the model.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from jobs.contract.exits import REFUSED, STOPPED
from jobs.contract.manifest import NAME, CheckpointFile, Manifest
from jobs.contract.paths import AttemptKey, StageFolder
from tests.launcher.model_scheduler import Job, Scheduler

STEPS = 6
SAVE_EVERY = 2


@dataclass
class Process:
    """The ranks of one attempt, as one.

    Attributes:
        key: The attempt.
        step: The last step done; None: its slow start is not over.
        hangs: It does nothing any more.
    """

    key: AttemptKey
    step: int | None = None
    hangs: bool = False


@dataclass
class Training:
    """All processes, and what is on the disk.

    Attributes:
        truth: The scheduler, whose jobs they are.
        needs: Parents by stage.
        skew_s: By how much the nodes' clocks are ahead.
        done: Stages whose final checkpoint is on the disk.
        saved: Steps of the checkpoints by stage.
        wrong: What must never happen, and did.
    """

    truth: Scheduler
    needs: Mapping[str, Sequence[str]]
    wrong: list[str]
    skew_s: float = 0.0
    done: set[str] = field(default_factory=set)
    saved: dict[str, list[int]] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.truth.on_start, self.truth.on_slice = self.start, self.slice

    def start(self, job: Job) -> None:
        """Begins, if the gates are open."""
        self.processes[job.slurm_id] = Process(AttemptKey(job.slurm_id, job.restart))
        self.tell(job, "begin", hosts=["n1"], world_size=1)
        if self._is_zombie(job):
            self.refuse(job, "fenced")
        elif any(parent not in self.done for parent in self.needs[job.stage]):
            self.refuse(job, "parents")

    def slice(self, job: Job) -> None:
        """One step, or the end of the start."""
        process = self.processes[job.slurm_id]
        if process.hangs:
            return
        if process.step is None:
            process.step = self.newest(job.stage)
            self.tell(job, "started", resume_step=process.step, total_steps=STEPS)
            return
        process.step = min(process.step + 1, STEPS)
        self.tell(job, "step", step=process.step, epoch=0, step_s=60.0)
        if process.step % SAVE_EVERY == 0 and not self.save(job):
            return
        if process.step == STEPS:
            self.tell(job, "exit", outcome="done", code=0, step=STEPS, message="")
            self.truth.end(job, "COMPLETED")

    def newest(self, stage: str) -> int:
        """The step to resume at."""
        return max(self.saved.get(stage, []), default=0)

    def save(self, job: Job) -> bool:
        """Saves the present step; a zombie refuses, and is at its end."""
        step = self.processes[job.slurm_id].step or 0
        if self._is_zombie(job):
            self.refuse(job, "fenced")
            return False
        self._look_for_another(job)
        saved = self.saved.setdefault(job.stage, [])
        if step > self.newest(job.stage):
            self._write(job.request.folder, step)
            saved.append(step)
            for old in saved[:-2]:
                shutil.rmtree(job.request.folder.checkpoint(old))
            del saved[:-2]
            self.tell(job, "checkpoint", step=step, final=step == STEPS, save_s=1.0)
        if step == STEPS:
            self.done.add(job.stage)
        return True

    def _look_for_another(self, job: Job) -> None:
        """Two jobs of one stage must never both be able to save."""
        for other in self.truth.jobs.values():
            same = other.stage == job.stage and other is not job and other.fence >= job.fence
            if same and other.live:
                self.wrong.append(f"{job.slurm_id} and {other.slurm_id} can both train {job.stage}")
        if any(parent not in self.done for parent in self.needs[job.stage]):
            self.wrong.append(f"{job.slurm_id} trains {job.stage} on a parent that is not done")

    def _write(self, folder: StageFolder, step: int) -> None:
        final = step == STEPS
        path = folder.checkpoint(step, final=final)
        path.mkdir(parents=True)
        (path / "weights").write_text("1")
        file = CheckpointFile("weights", 1, "")
        manifest = Manifest(step=step, files=(file,), weights="weights", final=final, save_s=1.0)
        (path / NAME).write_text(json.dumps(asdict(manifest)))
        os.utime(path / NAME, (self.truth.at + self.skew_s,) * 2)

    def _is_zombie(self, job: Job) -> bool:
        return int(job.request.folder.fence.read_text()) > job.fence

    def tell(self, job: Job, kind: str, **fields: object) -> None:
        """Writes an event."""
        path = job.request.folder.events_file(self.processes[job.slurm_id].key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            at = self.truth.at + self.skew_s
            file.write(json.dumps({"at": at, "kind": kind, **fields}) + "\n")

    def refuse(self, job: Job, fault: str) -> None:
        """Ends with 93."""
        self.tell(job, "exit", outcome="refused", code=REFUSED, message=fault, fault=fault)
        self.truth.end(job, "FAILED", REFUSED)

    def stop(self, job: Job, word: str, code: int = STOPPED, *, again: bool) -> None:
        """Saves, tells it, and ends so; a hung job cannot."""
        process = self.processes[job.slurm_id]
        if process.hangs:
            self.truth.end(job, word, 137, again=again)
            return
        if process.step is not None and not self.save(job):
            return
        step = {} if process.step is None else {"step": process.step}
        self.tell(job, "exit", outcome="stopped", code=STOPPED, message="", **step)
        self.truth.end(job, word, code, again=again)

    def fail(self, job: Job, word: str, error: str, fault: str) -> None:
        """Ends by its own fault, and says which."""
        step = self.processes[job.slurm_id].step
        self.tell(
            job, "exit", outcome="failed", code=1, message=error, error=error, fault=fault,
            **({} if step is None else {"step": step}),
        )  # fmt: skip
        self.truth.end(job, word, 1)
