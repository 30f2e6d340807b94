"""One optimizer step: micro-batches in, weights changed, or the step left out on all ranks.

Notable: every rank runs the same forward and backward passes whatever it could read, since
ZeRO and the gradients' sums are collectives. A rank without a readable clip takes a blank one
of weight 0. The mean over a rank's readable samples is its loss, as in the reference; a step
is the mean of the micro-batches that held any.

A loss that is no finite number on one rank becomes NaN on all before the last backward pass,
so DeepSpeed's own check of the gradients finds it everywhere: that check drops what was
accumulated, and lowers the loss scale in fp16. In ZeRO stage 0 with fp32 DeepSpeed has no such
check; the gradients are equal on all ranks there, and each drops its own.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor

from jobs.data.loader import Batch

Collate = Callable[[Batch], Mapping[str, Any]]
"""Turns decoded samples into the keyword arguments of the module's forward pass."""

Why = Literal["", "loss", "gradient", "no_clips"]


@dataclass(frozen=True)
class StepOutcome:
    """What became of a step, as one rank sees it.

    Attributes:
        batches: Its micro-batches.
        losses: Of each; None where nothing was readable.
        why: Why the step was skipped, the same on all ranks; empty: it was made.
        grad_norm: Over all ranks, before clipping; None where it is no finite number.
        loss_scale: That of fp16, with which the step was made.
    """

    batches: tuple[Batch, ...]
    losses: tuple[float | None, ...]
    why: Why = ""
    grad_norm: float | None = None
    loss_scale: float | None = None

    @property
    def loss(self) -> float | None:
        """Mean of this rank's micro-batches; None where it could read nothing."""
        known = [loss for loss in self.losses if loss is not None]
        return sum(known) / len(known) if known else None


class Stepper:
    """Makes optimizer steps with one engine; all ranks call it together.

    Args:
        engine: DeepSpeed's.
        collate: Makes the arguments of the module's forward pass.
        blank: Gives a micro-batch of the shape and kind of one that holds nothing readable.
        clip_norm: Largest gradient norm, for where DeepSpeed does not clip.
    """

    def __init__(
        self,
        engine: Any,  # noqa: ANN401 - DeepSpeed is untyped
        collate: Collate,
        blank: Callable[[Batch], Batch],
        *,
        clip_norm: float | None = None,
    ) -> None:
        self._engine, self._collate, self._blank = engine, collate, blank
        self._clip_norm = clip_norm or math.inf
        self._plain = isinstance(engine.optimizer, torch.optim.Optimizer)

    def step(self, batches: Iterable[Batch]) -> StepOutcome:
        """Takes a step's micro-batches and changes the weights, or leaves them as they were."""
        held = tuple(batches)  # all of them: a micro-batch's weight depends on the others
        readable = self._readable_everywhere(held)
        if not readable:
            return StepOutcome(held, (None,) * len(held), "no_clips")
        weight = len(held) * dist.get_world_size() / readable
        loss_scale = self.loss_scale
        losses: list[Tensor] = []
        for batch in held[:-1]:
            self._backward(batch, losses, weight)
            self._engine.step()
        is_lost = self._backward(held[-1], losses, weight, last=True)
        norm = self._finish()
        why: Why = "loss" if bool(is_lost) else "gradient" if norm is None else ""
        return StepOutcome(held, _told(held, losses), why, norm, loss_scale)

    @property
    def loss_scale(self) -> float | None:
        """The loss scale of fp16; None in another precision."""
        if not self._engine.fp16_enabled():
            return None
        optimizer = self._engine.optimizer
        config = getattr(optimizer, "loss_scale_config", None)  # of ZeRO stage 0
        return float(optimizer.loss_scale if config is None else config.cur_scale)

    def _readable_everywhere(self, held: Sequence[Batch]) -> int:
        count = torch.tensor([sum(1 for batch in held if batch.samples)])
        count = count.to(self._engine.device)
        dist.all_reduce(count)
        return int(count)

    def _backward(
        self, batch: Batch, losses: list[Tensor], weight: float, *, last: bool = False
    ) -> Tensor | None:
        """Both passes of a micro-batch; after the last, whether a loss is lost on any rank."""
        arguments = self._collate(batch if batch.samples else self._blank(batch))
        moved = {name: value.to(self._engine.device) for name, value in arguments.items()}
        loss = self._engine(**moved)["loss"]
        losses.append(loss.detach())
        own = weight if batch.samples else 0.0
        if not last:
            self._engine.backward(loss * own)
            return None
        # Stays on the device: the host would wait for the forward pass.
        is_lost = (~torch.isfinite(torch.stack(losses))).any().float()
        dist.all_reduce(is_lost, op=dist.ReduceOp.MAX)
        self._engine.backward(loss * torch.where(is_lost > 0, math.nan, own))
        return is_lost

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


def _told(held: Sequence[Batch], losses: Sequence[Tensor]) -> tuple[float | None, ...]:
    """The losses as numbers, those of blank micro-batches left out."""
    numbers = torch.stack(list(losses)).tolist()
    return tuple(
        number if batch.samples else None for number, batch in zip(numbers, held, strict=True)
    )
