"""Micro-batches of one rank, from any point of an epoch on.

Letters in names: B batch, T time, C channel, H height, W width.
"""

import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from jobs.data.dataset import BadClip, ClipDataset, Sample, SampleKey
from jobs.data.errors import TooManyBadClipsError
from jobs.data.sampler import Order, Position, RankShare

SHOWN_FILES = 5


@dataclass(frozen=True)
class Batch:
    """One micro-batch of one rank; all samples are of one kind of media.

    Attributes:
        samples: those that decoded.
        bad: those that did not; their text is dropped with them.
    """

    samples: tuple[Sample, ...]
    bad: tuple[BadClip, ...] = ()

    def stacked(self) -> Tensor | None:
        """The clips as one float32 tensor (B, T, C, H, W), a copy; None for text."""
        videos = [one.video_TCHW for one in self.samples if one.video_TCHW is not None]
        return torch.stack(videos) if videos else None


@dataclass
class BadClips:
    """Count of unreadable clips per set, over the life of a process.

    Attributes:
        max_fraction: more than this part of a set's samples raises.
        after: samples of a set to be seen before its fraction is judged.
        seen: samples asked for, by set.
        count: unreadable ones, by set.
        files: error class by (set, file).
    """

    max_fraction: float = 0.05
    after: int = 20
    seen: Counter[str] = field(default_factory=Counter)
    count: Counter[str] = field(default_factory=Counter)
    files: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, batch: Batch) -> None:
        """Counts a batch.

        Raises:
            TooManyBadClipsError: if a set has too many, or the batch has no readable sample.
        """
        self.seen.update(sample.set_name for sample in batch.samples)
        self.seen.update(clip.set_name for clip in batch.bad)
        self.count.update(clip.set_name for clip in batch.bad)
        self.files.update({(clip.set_name, clip.file): clip.error_class for clip in batch.bad})
        for name in sorted({clip.set_name for clip in batch.bad}):
            limit = self.max_fraction * self.seen[name]
            if self.seen[name] >= self.after and self.count[name] > limit:
                raise TooManyBadClipsError(self._complaint(name))
        if not batch.samples:
            raise TooManyBadClipsError(
                f"no sample of a micro-batch is readable; {self._complaint(batch.bad[0].set_name)}"
            )

    def _complaint(self, name: str) -> str:
        files = [f"{file} ({error})" for (own, file), error in self.files.items() if own == name]
        return (
            f"set {name!r}: {self.count[name]} of {self.seen[name]} clips are unreadable "
            f"(allowed: {self.max_fraction:.0%}); first: {', '.join(files[:SHOWN_FILES])}. "
            "Mend or remove these files, or look whether the media root is the right one"
        )


class ClipLoader:
    """The micro-batches of one rank for the rest of an epoch; see `make_loader`.

    Attributes:
        accumulation: micro-batches in one step; so many iterations move the position by one.
        bad_clips: the count that each batch is added to.
    """

    def __init__(
        self, loader: "DataLoader[Sample | BadClip]", accumulation: int, bad_clips: BadClips
    ) -> None:
        self._loader, self.accumulation, self.bad_clips = loader, accumulation, bad_clips

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._loader:
            self.bad_clips.add(batch)
            yield batch


def make_loader(
    dataset: ClipDataset,
    order: Order,
    part: RankShare,
    start: Position,
    *,
    num_workers: int = 0,
    bad_clips: BadClips | None = None,
    timeout_s: float = 300,
) -> ClipLoader:
    """The micro-batches of one rank from `start` to the end of that epoch.

    A sample that does not decode makes this rank's micro-batch smaller and no other, so that
    the ranks stay in step. The loader draws from a generator of its own: making one in the
    middle of a run leaves torch's global generator as it was.

    Args:
        dataset: what the order's indices mean.
        order: `GlobalOrder` or `MixedOrder`.
        part: this rank's part of each global batch.
        start: the epoch, and the global batches already taken in it.
        num_workers: processes that decode; 0 decodes here. Does not change the batches.
        bad_clips: the count to go on with; a new one by default.
        timeout_s: how long to wait for a worker, so that a hanging decoder ends in an error.

    Raises:
        ValueError: if the global batch is not a multiple of ranks x micro-batch.
    """
    accumulation = part.accumulation(order.global_batch)
    plan = _Plan(order, part, start, accumulation)
    loader = _torch_loader(dataset, plan, num_workers, timeout_s)
    return ClipLoader(loader, accumulation, BadClips() if bad_clips is None else bad_clips)


def evaluation_loader(
    dataset: ClipDataset, part: RankShare, *, num_workers: int = 0, timeout_s: float = 300
) -> "DataLoader[Sample | BadClip]":
    """Every sample once over all ranks, in order; gives `Batch`es.

    Nothing is left out to make ranks equal: gather the answers at the end, not in between. A
    batch may hold bad clips only: count them as not answered.
    """
    keys = [SampleKey(0, i) for i in range(part.rank, len(dataset), part.world_size)]
    size = part.micro_batch
    plan = [keys[first : first + size] for first in range(0, len(keys), size)]
    return _torch_loader(dataset, plan, num_workers, timeout_s)


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
    num_workers: int,
    timeout_s: float,
) -> "DataLoader[Sample | BadClip]":
    return DataLoader(
        dataset,
        batch_sampler=plan,
        collate_fn=_collate,
        num_workers=num_workers,
        timeout=timeout_s if num_workers else 0,
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
