"""How a training run tells where it is: events and curves, not more often than asked for."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from jobs.checkpoint.progress import Progress
from jobs.contract.spec import Train
from jobs.data.dataset import BadClip
from jobs.feed import StepBatches
from jobs.job import Job
from jobs.log import say
from jobs.steps import StepOutcome
from jobs.watch.board import Board
from jobs.watch.counts import StepCounts, own_times, spread_of
from jobs.watch.stopwatch import ForwardWatch
from jobs.watch.stragglers import OwnTime
from jobs.watch.tally import Tally, memory_gb

_OF_TRAINING = ("loss", "lr", "grad_norm", "loss_scale", "skipped", "epoch", "samples_seen")
"""Curves of their own group in TensorBoard; the rest tells of speed."""


def tell_bad_clips(job: Job, bad_clips: Iterable[BadClip]) -> None:
    """Tells of clips that could not be read: with the next event, and in every rank's log."""
    for bad in bad_clips:
        job.news.bad_clip(bad.set_name, bad.file, bad.error_class)
        say(f"left out {bad.file} of set {bad.set_name}: {bad.text}")


class Reporter:
    """Tells of the steps on rank 0, in events, TensorBoard and the log; all ranks hold one.

    Args:
        job: The rank's job.
        recipe: Says how often; the first step and the last are always told.
        module: The stage's model, whose forward passes are timed and whose operations are
            counted where it is one of VideoChat2's; None: neither.
    """

    def __init__(self, job: Job, recipe: Train, module: nn.Module | None = None) -> None:
        self._job, self._recipe, self._place = job, recipe, job.place
        self._forward: ForwardWatch | None = None
        if module is not None and job.place.world_size > 1:  # else there is nobody to compare with
            self._forward = ForwardWatch(module)
        self._peak = None if module is None else _peak(recipe)
        self._flops = None if self._peak is None else _flops_of(module)
        self._tally = Tally(job.place.world_size, self._peak)
        self._told_at = -math.inf
        self._last: dict[str, float] | None = None
        self._last_skipped: dict[str, Any] | None = None
        self._steps = self._compared_at = 0
        self._waited_s = 0.0
        self._board: Board | None = None

    def started(self, progress: Progress, total_steps: int, epochs: int) -> None:
        """Tells that the loop begins, and from where."""
        self._job.clock.mark("checkpoint")
        self._job.tell(
            "started",
            resume_step=progress.step,
            total_steps=total_steps,
            epochs=epochs,
        )
        self._tally = Tally(self._place.world_size, self._peak)
        if self._place.rank == 0:
            self._board = Board(
                self._job.folder.tensorboard,
                resumed_at=progress.step,
                flush_s=self._recipe.log_every_s,
                tell=self._tell_no_board,
            )

    def counts(self, batches: StepBatches) -> tuple[int, ...]:
        """What this rank adds, before a step, to the sums of all ranks.

        As many numbers on every rank. Each `straggler_every_steps` they hold the rank's own
        times, too.
        """
        flops = 0
        if self._flops is not None:
            flops = sum(self._flops(each.arguments) for each in batches.batches if each.samples)
        waited_us = round(batches.waited_s * 1e6)
        own = StepCounts(batches.clips, batches.tokens, flops // 10**6, waited_us)
        if not self._is_compared():
            return own
        times = self._take_own_times()
        return (*own, *own_times(times, self._place.hosts, self._place.world_size))

    def step(
        self,
        progress: Progress,
        outcome: StepOutcome,
        *,
        lr: float,
        step_s: float,
        batches: StepBatches,
        counts: Sequence[int],
    ) -> None:
        """Takes note of a step; tells it when it is time.

        Args:
            progress: Where the run stands after the step.
            outcome: What became of it.
            lr: Learning rate of the step.
            step_s: Seconds the step took, without waiting for its data.
            batches: What the step was made with.
            counts: Those of `counts`, summed over the ranks.
        """
        self._job.reached.step = progress.step
        self._steps += 1
        self._waited_s += batches.waited_s
        if self._steps == 1:
            self._first(progress, batches)
        everywhere, times = StepCounts(*counts[:_SHARED]), counts[_SHARED:]
        if times:
            self._compare(progress.step, times)
        step_s += batches.waited_s
        if outcome.why:
            self._tally.add(None, None, step_s, everywhere)
            self._skipped(progress, outcome.why)
            return
        self._tally.add(outcome.loss, outcome.grad_norm, step_s, everywhere)
        told = {
            "step": progress.step,
            "epoch": progress.epoch,
            "samples_seen": progress.samples_seen,
            "lr": lr,
            "loss_scale": outcome.loss_scale,
            "skipped": progress.skipped,
        }
        self._last = {name: value for name, value in told.items() if value is not None}
        self._last_skipped = None
        self._tell_in_time()

    def finished(self) -> None:
        """Tells the last step, if it has not been told, and writes what waits to be written."""
        self._tell()
        if self._board is not None:
            self._board.close()

    def _tell_in_time(self) -> None:
        if time.monotonic() - self._told_at >= self._recipe.log_every_s:
            self._tell()

    def _tell(self) -> None:
        """Tells the last step with the means since the one told before, on rank 0.

        Where none since then has changed a weight, the last that was skipped.
        """
        if self._last is None:
            if self._last_skipped is not None:
                self._job.tell("skipped", **self._last_skipped)
                self._told_at, self._last_skipped = time.monotonic(), None
            return
        told = self._last | self._tally.told() | {"memory_gb": memory_gb()}
        self._told_at, self._last, self._last_skipped = time.monotonic(), None, None
        if self._place.rank:
            return
        self._job.tell("step", **told)
        text = " ".join(f"{name} {value:.6g}" for name, value in told.items())
        say(text)
        self._draw(int(told.pop("step")), told)

    def _skipped(self, progress: Progress, why: str) -> None:
        """Takes note of a step that changed no weight."""
        say(f"skipped step {progress.step}: {why}")
        self._job.news.skipped(why, progress.skipped)
        self._last_skipped = {
            "step": progress.step,
            "why": why,
            "in_a_row": progress.skipped_in_a_row,
            "total": progress.skipped,
        }
        if self._last is not None:
            self._last["skipped"] = progress.skipped
        self._tell_in_time()

    def _first(self, progress: Progress, batches: StepBatches) -> None:
        """Tells where the seconds of the start went; times of the first step are not compared."""
        clock = self._job.clock
        clock.mark("first_step", of_it={"first_batch": batches.waited_s})
        self._job.tell("first_step", step=progress.step, start_s=clock.total_s, parts=clock.parts)
        self._take_own_times()

    def _is_compared(self) -> bool:
        """Whether the ranks compare their times: the same answer on all of them."""
        since, every = self._steps - self._compared_at, self._recipe.straggler_every_steps
        return since == every and self._forward is not None and self._place.world_size > 1

    def _take_own_times(self) -> OwnTime:
        """What the steps since the last call cost this rank by itself, a mean step."""
        steps = max(1, self._steps - self._compared_at)
        forward_s = 0.0 if self._forward is None else self._forward.take_s()
        own = OwnTime(self._place.rank, self._place.host, forward_s / steps, self._waited_s / steps)
        self._compared_at, self._waited_s = self._steps, 0.0
        return own

    def _compare(self, step: int, times: Sequence[int]) -> None:
        """Draws how far the ranks are apart, and tells of those that lag, on rank 0."""
        if self._place.rank:
            return
        spread = spread_of(times, self._place.hosts)
        self._draw(step, spread.scalars())
        told = spread.event(step)
        if told is not None:
            self._job.news.lag(told)

    def _draw(self, step: int, values: Mapping[str, float]) -> None:
        if self._board is not None:
            named = {(f"{_group(name)}/{name}"): value for name, value in values.items()}
            self._board.write(step, named)

    def _tell_no_board(self, message: str) -> None:
        self._job.tell("no_tensorboard", message=message)
        say(f"TensorBoard: {message}; nothing more is drawn")


_SHARED = len(StepCounts._fields)


def _group(name: str) -> str:
    return "train" if name in _OF_TRAINING else "speed"


def _peak(recipe: Train) -> float | None:
    """Of this rank's device; None where it is not known, as on a CPU."""
    if not torch.cuda.is_available():
        return None
    from jobs.engine import precision_of  # noqa: PLC0415 - slow, and of use beside a GPU only
    from jobs.watch.peak import peak_flops  # noqa: PLC0415

    return peak_flops(torch.cuda.get_device_name(), precision_of(recipe.precision))


def _flops_of(module: nn.Module | None) -> Callable[[Mapping[str, Any]], int] | None:
    """Counts a model's operations; None for another one than VideoChat2's."""
    from model.flops import MODELS, TrainingFlops  # noqa: PLC0415 - slow, see above

    return TrainingFlops(module) if isinstance(module, MODELS) else None
