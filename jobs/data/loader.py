"""Micro-batches of one rank, from any point of an epoch on.

Letters in names: B batch, T time, C channel, H height, W width.
"""

import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from jobs.data.dataset import BadClip, ClipDataset, Sample, SampleKey
from jobs.data.sampler import Order, Position, RankShare

WORKER_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Batch:
    """One micro-batch of one rank; all samples are of one kind of media.

    Attributes:
        samples: those that decoded; none of them may have.
        bad: those that did not; their text is dropped with them.
    """

    samples: tuple[Sample, ...]
    bad: tuple[BadClip, ...] = ()

    def stacked(self) -> Tensor | None:
        """The clips as one float32 tensor (B, T, C, H, W), a copy; None for text."""
        videos = [one.video_TCHW for one in self.samples if one.video_TCHW is not None]
        return torch.stack(videos) if videos else None


def make_loader(
    dataset: ClipDataset,
    order: Order,
    part: RankShare,
    start: Position,
    *,
    num_workers: int = 0,
) -> "DataLoader[Sample | BadClip]":
    """The micro-batches of one rank from `start` to the end of that epoch; gives `Batch`es.

    A sample that does not decode makes this rank's micro-batch smaller, down to none, and no
    other, so that the ranks stay in step. The loader draws from a generator of its own: making
    one in the middle of a run leaves torch's global generator as it was.

    Args:
        dataset: what the order's indices mean.
        order: `GlobalOrder` or `MixedOrder`.
        part: this rank's part of each global batch.
        start: the epoch, and the global batches already taken in it.
        num_workers: processes that decode; 0 decodes here. Does not change the batches.

    Raises:
        ValueError: if the global batch is not a multiple of ranks x micro-batch.
    """
    accumulation = part.accumulation(order.global_batch)
    plan = _Plan(order, part, start, accumulation)
    return _torch_loader(dataset, plan, part.micro_batch, num_workers)


def evaluation_loader(
    dataset: ClipDataset,
    part: RankShare,
    *,
    num_workers: int = 0,
    indices: Sequence[int] | None = None,
) -> "DataLoader[Sample | BadClip]":
    """Every sample, or those of `indices`, once over all ranks, in order; gives `Batch`es.

    Nothing is left out to make ranks equal: gather the answers at the end, not in between. A
    batch may hold bad clips only: count them as not answered.
    """
    chosen = range(len(dataset)) if indices is None else indices
    keys = [SampleKey(0, i) for i in chosen[part.rank :: part.world_size]]
    size = part.micro_batch
    plan = [keys[first : first + size] for first in range(0, len(keys), size)]
    return _torch_loader(dataset, plan, size, num_workers)


@dataclass(frozen=True)
class _Plan:
    """The keys of each micro-batch, computed when asked for; a batch sampler."""

    order: Order
    part: RankShare
    start: Position
    accumulation: int

    def __len__(self) -> int:
        return (self.order.steps_per_epoch - self.start.position) * self.accumulation

    def __iter__(self) -> Iterator[list[SampleKey]]:
        epoch, size = self.start.epoch, self.part.micro_batch
        for position in range(self.start.position, self.order.steps_per_epoch):
            own = self.part.take(self.order.batch(epoch, position))
            for first in range(0, len(own), size):
                yield [SampleKey(epoch, index) for index in own[first : first + size]]


def _collate(samples: list[Sample | BadClip]) -> Batch:
    return Batch(
        tuple(one for one in samples if isinstance(one, Sample)),
        tuple(one for one in samples if isinstance(one, BadClip)),
    )


def _torch_loader(
    dataset: ClipDataset,
    plan: Iterable[list[SampleKey]],
    micro_batch: int,
    num_workers: int,
) -> "DataLoader[Sample | BadClip]":
    return DataLoader(
        dataset,
        batch_sampler=plan,
        collate_fn=_collate,
        num_workers=num_workers,
        # A clip that hangs is given up by its reader; this is for a worker that hangs itself.
        timeout=WORKER_TIMEOUT_S + micro_batch * dataset.read_timeout_s if num_workers else 0,
        worker_init_fn=_ignore_stop,
        # Making an iterator draws a seed; from the global generator it would shift dropout
        # after a resume.
        generator=torch.Generator().manual_seed(0),
    )


def _ignore_stop(_: int) -> None:
    """Lets a worker live on when Slurm sends SIGTERM to all processes of a job.

    Torch's workers die of it, and their end raises in the rank that is about to save. They
    end with their rank.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
