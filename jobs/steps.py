"""One optimizer step: micro-batches in, weights changed, or the step left out on all ranks.

Notable: every rank runs the same forward and backward passes whatever it could read, since
ZeRO and the gradients' sums are collectives. A rank without a readable clip, or with no
micro-batch left in the last round, goes along with a blank one of weight 0. The mean over a
micro-batch's readable samples is its loss, as in the reference; a step is the mean of the
micro-batches that held any.

Random numbers of a forward pass (dropout) follow from seed, step and the micro-batch's number,
so they are the same after a resume and on any number of ranks; no generator's state is saved.

A loss that is no finite number on one rank becomes NaN on all before the last backward pass,
so DeepSpeed's own check of the gradients finds it everywhere: that check drops what was
accumulated, and lowers the loss scale in fp16. In ZeRO stage 0 with fp32 DeepSpeed has no such
check; the gradients are equal on all ranks there, and each drops its own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from jobs.data.loader import Batch

Why = Literal["", "loss", "gradient", "no_clips"]


@dataclass(frozen=True)
class StepOutcome:
    """What became of a step.

    Attributes:
        batches: This rank's micro-batches.
        loss: Mean of all micro-batches of all ranks; None where nothing was readable.
        losses: Of this rank's micro-batches, told of a skipped step; None where nothing was
            readable.
        why: Why the step was skipped, the same on all ranks; empty: it was made.
        grad_norm: Over all ranks, before clipping; None where it is no finite number.
        loss_scale: That of fp16, with which the step was made.
    """

    batches: tuple[Batch, ...]
    loss: float | None = None
    losses: tuple[float | None, ...] = ()
    why: Why = ""
    grad_norm: float | None = None
    loss_scale: float | None = None


class Stepper:
    """Makes optimizer steps with one engine; all ranks call it together.

    Args:
        engine: DeepSpeed's.
        seed: Of the run.
        clip_norm: Largest gradient norm, for where DeepSpeed does not clip.
    """

    def __init__(
        self,
        engine: Any,  # noqa: ANN401 - DeepSpeed is untyped
        *,
        seed: int = 0,
        clip_norm: float | None = None,
    ) -> None:
        self._engine, self._seed = engine, seed
        self._clip_norm = clip_norm or math.inf
        self._plain = isinstance(engine.optimizer, torch.optim.Optimizer)

    def step(self, batches: Sequence[Batch], *, step: int, readable: int) -> StepOutcome:
        """Changes the weights by a step's micro-batches, or leaves them as they were.

        Args:
            batches: This rank's, one a round.
            step: Number of the step, from 0.
            readable: Micro-batches that hold anything, over all ranks.
        """
        held = tuple(batches)
        if not readable:
            return StepOutcome(held, None, (None,) * len(held), "no_clips")
        weight = len(held) * dist.get_world_size() / readable
        loss_scale = self.loss_scale
        losses: list[Tensor] = []
        for batch in held[:-1]:
            self._engine.backward(self._forward(batch, step, losses) * _own(batch, weight))
            self._engine.step()
        loss = self._forward(held[-1], step, losses)
        total = _sum_everywhere(held, losses)
        own = torch.full_like(loss, _own(held[-1], weight))
        self._engine.backward(loss * torch.where(torch.isfinite(total), own, math.nan))
        norm = self._finish()
        mean = float(total) / readable
        why: Why = "gradient" if norm is None else ""
        if not math.isfinite(mean):
            why = "loss"
        return StepOutcome(held, mean, _told(held, losses) if why else (), why, norm, loss_scale)

    @property
    def loss_scale(self) -> float | None:
        """The loss scale of fp16; None in another precision."""
        if not self._engine.fp16_enabled():
            return None
        optimizer = self._engine.optimizer
        config = getattr(optimizer, "loss_scale_config", None)  # of ZeRO stage 0
        return float(optimizer.loss_scale if config is None else config.cur_scale)

    def _forward(self, batch: Batch, step: int, losses: list[Tensor]) -> Tensor:
        moved = {
            name: value.to(self._engine.device, non_blocking=True)
            for name, value in batch.arguments.items()
        }
        if batch.number is not None:
            seed_generators(seed_of(self._seed, step, batch.number))
        loss: Tensor = self._engine(**moved)["loss"]
        losses.append(loss.detach())
        return loss

    def _finish(self) -> float | None:
        """Changes the weights; gives the gradient's norm, None where the step was dropped."""
        engine = self._engine
        norm = self._clip() if self._plain else None
        engine.step()
        if not self._plain:
            norm = None if engine.optimizer.overflow else float(engine.get_global_grad_norm())
        self._forget_partitions()
        return norm

    def _clip(self) -> float | None:
        """What DeepSpeed leaves out with a plain optimizer: without gradients it does nothing."""
        parameters = [each for each in self._engine.module.parameters() if each.grad is not None]
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, self._clip_norm))
        if math.isfinite(norm):
            return norm
        self._engine.zero_grad()
        return None

    def _forget_partitions(self) -> None:
        """Clears ZeRO-3's gradients.

        It only overwrites those of parameters that were used: a text-only step would be made
        with the vision encoder's gradient of the step before (seen in DeepSpeed 0.19.8).
        """
        buffer = getattr(self._engine.optimizer, "grad_partitions_flat_buffer", None)
        if buffer is not None:
            buffer.zero_()


def seed_generators(seed: int) -> None:
    """Seeds what a forward pass draws from: the generators of the host and of this rank's GPU.

    `torch.manual_seed` does it for all kinds of devices, and for each that is not in use it writes
    down its caller's stack: 2 ms a micro-batch on a machine without a GPU.

    Args:
        seed: As `torch.manual_seed` takes it.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed(seed)


def seed_of(seed: int, step: int, number: int) -> int:
    """Seed of one forward pass.

    Args:
        seed: Of the run.
        step: Number of the optimizer step.
        number: Of the micro-batch among those of the step.
    """
    (state,) = np.random.SeedSequence((seed, step, number)).generate_state(1, np.uint64)
    return int(state >> np.uint64(1))  # torch takes signed ones


def _own(batch: Batch, weight: float) -> float:
    return weight if batch.samples else 0.0


def _sum_everywhere(held: Sequence[Batch], losses: Sequence[Tensor]) -> Tensor:
    """Sum of the losses that count, over all ranks; no finite number if one of any is none.

    It stays on the device: the host would wait for the forward passes.
    """
    own = [loss.double() * bool(batch.samples) for batch, loss in zip(held, losses, strict=True)]
    total = torch.stack(own).sum()
    dist.all_reduce(total)
    return total


def _told(held: Sequence[Batch], losses: Sequence[Tensor]) -> tuple[float | None, ...]:
    """The losses as numbers, those of blank micro-batches left out."""
    numbers = torch.stack(list(losses)).tolist()
    return tuple(
        number if batch.samples else None for number, batch in zip(numbers, held, strict=True)
    )
