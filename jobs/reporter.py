"""How a training run tells where it is: step events, not more often than asked for."""

import math
import time
from collections.abc import Iterable

from jobs.checkpoint.progress import Progress
from jobs.data.dataset import BadClip
from jobs.feed import MicroBatches
from jobs.job import Job
from jobs.steps import StepOutcome


def tell_bad_clips(job: Job, bad_clips: Iterable[BadClip]) -> None:
    """Tells of clips that could not be read: an event on rank 0, a line in every rank's log."""
    for bad in bad_clips:
        job.tell("bad_clip", set=bad.set_name, path=bad.file, error=bad.error_class)
        print(f"left out {bad.file} of set {bad.set_name}: {bad.text}", flush=True)  # noqa: T201 - the rank's log


class Reporter:
    """Writes `started` and `step` events on rank 0 and a line a step event into the log.

    Args:
        job: The rank's job.
        every_s: Seconds between two step events; the first step and the last are always told.
    """

    def __init__(self, job: Job, every_s: float) -> None:
        self._job, self._every_s = job, every_s
        self._told_at = -math.inf
        self._last: dict[str, float | int] | None = None

    def started(self, progress: Progress, total_steps: int, epochs: int) -> None:
        """Tells that the loop begins, and from where."""
        self._job.tell(
            "started",
            resume_step=progress.step,
            total_steps=total_steps,
            epochs=epochs,
        )

    def step(
        self,
        progress: Progress,
        outcome: StepOutcome,
        *,
        lr: float,
        step_s: float,
        batches: MicroBatches,
    ) -> None:
        """Takes note of a step; tells it when it is time, and at once when it was skipped.

        Args:
            progress: Where the run stands after the step.
            outcome: What became of it; the loss told is rank 0's mean.
            lr: Learning rate of the step.
            step_s: Seconds the step took.
            batches: What the step was made with.
        """
        self._job.reached.step = progress.step
        if outcome.why:
            self._skipped(progress, outcome.why)
            return
        told = {
            "step": progress.step,
            "epoch": progress.epoch,
            "samples_seen": progress.samples_seen,
            "loss": outcome.loss,
            "lr": lr,
            "grad_norm": outcome.grad_norm,
            "loss_scale": outcome.loss_scale,
            "step_s": step_s,
            "data_s": batches.waited_s,
        }
        self._last = {name: value for name, value in told.items() if value is not None}
        if time.monotonic() - self._told_at >= self._every_s:
            self.finished()

    def _skipped(self, progress: Progress, why: str) -> None:
        """Tells a step that changed no weight, after the last one that did."""
        self.finished()
        self._job.tell(
            "skipped",
            step=progress.step,
            why=why,
            in_a_row=progress.skipped_in_a_row,
            total=progress.skipped,
        )
        print(f"skipped step {progress.step}: {why}", flush=True)  # noqa: T201 - the rank's log

    def finished(self) -> None:
        """Tells the last step, if it has not been told."""
        if self._last is None:
            return
        self._job.tell("step", **self._last)
        if self._job.place.rank == 0:
            text = " ".join(f"{name} {value:.6g}" for name, value in self._last.items())
            print(text, flush=True)  # noqa: T201 - the rank's log
        self._told_at, self._last = time.monotonic(), None
