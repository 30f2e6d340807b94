"""Stages for what goes wrong, with the real frame of a job around them: `jobs.task.run_task`.

They count instead of training. `Sliced` needs no torch: the real fence, signals, stack files,
events and checkpoints. `Kept` saves through the real `jobs.keeper` as well.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, NoReturn

import cloudpickle

from jobs.checkpoint.store import aside_of, commit
from jobs.contract.checkpointing import Checkpointing
from jobs.contract.manifest import Manifest, describe, newest_valid
from jobs.contract.task import StageTask
from jobs.ending import end, leave
from jobs.job import Job, RefusedError, StoppedError
from jobs.task import run_task
from launcher.cluster.base import JobRequest
from tests.launcher.pretend import Pretending

Stage = Callable[[], object]


@dataclass(frozen=True)
class Sliced:
    """Counts to `steps`, in so many attempts as it takes.

    Attributes:
        task: Whose place it takes.
        steps: To do in all.
        step_s: Seconds each.
        every: Steps between two checkpoints.
        slice_steps: After so many steps an attempt stops as if it had been told to, and cannot
            put itself back into the queue: there is no `scontrol` in its container.
        quits: How an attempt ends instead: `well`, with 0 and without a word; or without a save:
            `killed`, `memory` (it has none left) or `refuses`.
        deaf: Passes signals over.
        attempts: The attempt of this number has four steps left, whatever `steps` says; 0: none.
    """

    task: StageTask
    steps: int = 4
    step_s: float = 0.02
    every: int = 2
    slice_steps: int = 1000
    quits: Literal["", "well", "killed", "memory", "refuses"] = ""
    deaf: bool = False
    attempts: int = 0

    def __call__(self) -> None:
        run_task(self.task, self.count)

    def count(self, job: Job) -> None:
        """What rank 0 does."""
        if job.place.rank:
            return
        found = newest_valid(job.folder.checkpoints, digests=True)
        step = found[1].step if found else 0
        begun = len(list(job.folder.events.glob("*.jsonl")))
        last_one = self.attempts and begun >= self.attempts
        (replace(self, steps=step + 4) if last_one else self).go_on(job, step)

    def go_on(self, job: Job, step: int) -> None:
        """Counts on from this step."""
        job.tell("started", resume_step=step, total_steps=self.steps)
        job.stop.stay()
        last = min(step + self.slice_steps, self.steps)
        while step < last:
            if job.stop.signal_name is not None and not self.deaf:
                self.save(job, step)
                raise StoppedError(step)
            time.sleep(self.step_s)
            step += 1
            job.tell("step", step=step, epoch=0, loss=1 / step, step_s=self.step_s)
            if step % self.every == 0 and step < last:
                self.save(job, step)
        if step < self.steps:
            self.quit(job, step)
        self.save(job, step)

    def quit(self, job: Job, step: int) -> NoReturn:
        """Ends an attempt that is not the last."""
        if self.quits == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.quits == "memory":
            raise MemoryError("no 80 GB left")
        if self.quits == "refuses":
            raise RefusedError("the loss is nan")
        self.save(job, step)
        if self.quits == "well":
            os._exit(0)
        leave(end(job, "stopped", 75, f"stopped at step {step}", step=step))

    def save(self, job: Job, step: int) -> None:
        """Saves as a training does; raises RefusedError for a zombie."""
        final = step == self.steps
        target = job.folder.checkpoint(step, final=final)
        aside = aside_of(target, job)
        aside.mkdir(parents=True, exist_ok=True)
        (aside / "weights").write_text(f"{step}")
        files = (describe(aside / "weights", "weights"),)
        taken_over = commit(aside, target, Manifest(step=step, files=files, final=final), job)
        if taken_over is not None:
            raise RefusedError(taken_over, fault="fenced")
        job.tell("checkpoint", step=step, path=str(target), save_s=0.01, final=final)


@dataclass(frozen=True)
class Kept(Sliced):
    """The same, saved and resumed by the real keeper; the one rank is a process group.

    Attributes:
        engine: Makes the engine that is saved.
    """

    engine: Callable[[], Any] = field(kw_only=True)

    def count(self, job: Job) -> None:
        """What rank 0 does."""
        import torch.distributed as dist  # noqa: PLC0415 - in the job only

        from jobs.keeper import Keeper  # noqa: PLC0415

        meet = job.folder.root / f"meet-{job.place.attempt}"
        dist.init_process_group("gloo", init_method=f"file://{meet}", rank=0, world_size=1)
        keeper = Keeper(job, self.engine(), Checkpointing(keep=100, every=1), carried={})
        progress = keeper.resume()
        job.tell("started", resume_step=progress.step, total_steps=self.steps)
        job.stop.stay()
        last = min(progress.step + self.slice_steps, self.steps)
        while progress.step < last:
            if job.stop.agreed():
                keeper.stop(progress)
            time.sleep(self.step_s)
            progress = replace(progress, step=progress.step + 1)
            job.reached.step = progress.step
            job.tell("step", step=progress.step, epoch=0, loss=0.5, step_s=self.step_s)
            if progress.step % self.every == 0 and progress.step < last:
                keeper.finish(progress)
        keeper.finish(progress, final=progress.step == self.steps)
        if progress.step < self.steps:
            leave(end(job, "stopped", 75, "slice", step=progress.step))


@dataclass(frozen=True)
class Faulting(Pretending):
    """A real cluster whose jobs are made by `make`, by default `Sliced`.

    Attributes:
        make: Makes what the ranks call.
        requeue: Slurm may start a job again by itself; else the site forbids that.
    """

    make: Callable[[StageTask], Stage] = Sliced
    requeue: bool = True

    def submit(self, request: JobRequest) -> str:
        # The job cannot import the tests: their classes travel with its code.
        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        assert isinstance(request.task, StageTask)
        resumable = request.resumable and self.requeue
        task = self.make(request.task)
        return self.cluster.submit(replace(request, task=task, resumable=resumable))


def sliced_first(**parts: Any) -> Callable[[StageTask], Stage]:
    """Makes a `Sliced` stage of these parts of `second`, and short ones of those after it."""
    return lambda task: Sliced(task, **parts) if task.stage == "second" else Sliced(task)


def sliced(**parts: Any) -> Callable[[StageTask], Stage]:
    """Makes `Sliced` stages of these parts."""
    return partial(Sliced, **parts)


def kept(**parts: Any) -> Callable[[StageTask], Stage]:
    """Makes `Kept` stages of these parts."""
    from tests.jobs.checkpoint import small  # noqa: PLC0415 - torch; most tests need none

    cloudpickle.register_pickle_by_value(small)
    return partial(Kept, engine=small.SmallEngine, **parts)
