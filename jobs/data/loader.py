"""Micro-batches of one rank, read, tokenised and stacked in processes of their own.

Letters in names: B batch, T time, C channel, H height, W width.
Notable: one stream goes over the ends of epochs, so its processes live as long as the run. It
holds no state: what it gives follows from where it starts.
"""

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.reduction import ForkingPickler
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import reduce_tensor
from torch.utils.data import DataLoader, Dataset

from jobs.data.dataset import BadClip, ClipDataset, Sample, SampleKey
from jobs.data.sampler import Dealing, Order, Position, RankShare

WORKER_TIMEOUT_S = 300.0
LONGEST_WAIT_S = 1500.0
"""Other ranks wait for this one in a collective, and give up after 1800 s (`jobs.distributed.join`,
and torch's own default). Who waits for its data gives up before, and says for what."""
SENT_WHOLE_BYTES = 2**16
"""Larger tensors go from a worker to its rank in shared memory."""


@dataclass(frozen=True)
class Batch:
    """One micro-batch; all samples are of one kind of media.

    In training one without samples has weight 0: its arguments are black frames, of the shapes
    that the other ranks have, so that all go through the same passes.

    Attributes:
        samples: those that decoded; none of them may have. In training without their clips,
            which are among the arguments.
        bad: those that did not; their text is dropped with them.
        number: which of its step's micro-batches it is, from 0; None: none, the rank goes along.
        arguments: of the module's forward pass; nothing in an evaluation.
        clips: pictures and clips in it.
        tokens: of text, as the model reads it, without padding.
    """

    samples: tuple[Sample, ...]
    bad: tuple[BadClip, ...] = ()
    number: int | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    clips: int = 0
    tokens: int = 0

    def stacked(self) -> Tensor | None:
        """The clips as one tensor (B, T, C, H, W); None for text."""
        return together([one.video_TCHW for one in self.samples if one.video_TCHW is not None])

    def pin_memory(self) -> "Batch":
        """The same batch in memory that a GPU copies from while the host goes on."""
        pinned = {name: value.pin_memory() for name, value in self.arguments.items()}
        return replace(self, arguments=pinned)


@dataclass(frozen=True)
class Inputs:
    """What the model is given of a micro-batch.

    Attributes:
        arguments: of the module's forward pass: tensors, or what has their `to` and `pin_memory`.
        tokens: of text, as the model reads it, without padding.
    """

    arguments: Mapping[str, Any]
    tokens: int = 0


Collate = Callable[[Batch], Inputs]
"""Turns decoded samples into the model's inputs; runs in the loader's processes."""


def together(videos: Sequence[Tensor]) -> Tensor | None:
    """Clips of one shape as one tensor with one more dimension; None of none.

    A view where they lie side by side in memory, as `ClipDataset.read_all` leaves them.
    """
    if not videos:
        return None
    first, size = videos[0], videos[0].nbytes
    lie_so = all(
        one.is_contiguous()
        and (one.shape, one.dtype) == (first.shape, first.dtype)
        and one.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        and one.data_ptr() == first.data_ptr() + place * size
        for place, one in enumerate(videos)
    )
    if not lie_so:
        return torch.stack(list(videos))
    return first.as_strided((len(videos), *first.shape), (first.numel(), *first.stride()))


def training_loader(
    dataset: ClipDataset,
    order: Order,
    dealing: Dealing,
    collate: Collate,
    start: Position,
    *,
    steps: int,
    num_workers: int = 0,
) -> "DataLoader[Batch]":
    """The micro-batches of one rank in the `steps` steps from `start` on; gives `Batch`es.

    Each step gives as many on every rank. A sample that does not decode makes its micro-batch
    smaller, down to none, and no other. The loader draws from a generator of its own: making
    one in the middle of a run leaves torch's global generator as it was.

    Args:
        dataset: what the order's indices mean.
        order: `GlobalOrder` or `MixedOrder`.
        dealing: which of a step's micro-batches are this rank's.
        collate: makes the model's inputs.
        start: the epoch, and the global batches already taken in it.
        steps: how many steps there are to come, in whatever number of epochs.
        num_workers: processes that do all this; 0 does it here. Does not change the batches.

    Raises:
        ValueError: the order's global batches are not those that are to be cut.
    """
    wanted = dealing.batching.global_batch
    if order.global_batch != wanted:
        raise ValueError(f"an order of {order.global_batch} samples a step, not of {wanted}")
    return _torch_loader(
        MicroBatches(dataset, collate),
        _Plan(order, dealing, start, steps),
        size=dealing.batching.micro_batch,
        at_once=len(dealing.numbers),
        num_workers=num_workers,
    )


def evaluation_loader(
    dataset: ClipDataset,
    part: RankShare,
    *,
    num_workers: int = 0,
    indices: Sequence[int] | None = None,
) -> "DataLoader[Batch]":
    """Every sample, or those of `indices`, once over all ranks, in order; gives `Batch`es.

    Nothing is left out to make ranks equal: gather the answers at the end, not in between. A
    batch may hold bad clips only: count them as not answered.
    """
    chosen = range(len(dataset)) if indices is None else indices
    keys = [SampleKey(0, i) for i in chosen[part.rank :: part.world_size]]
    size = part.micro_batch
    plan = [
        MicroKeys(place, tuple(keys[first : first + size]))
        for place, first in enumerate(range(0, len(keys), size))
    ]
    return _torch_loader(MicroBatches(dataset), plan, size=size, at_once=1, num_workers=num_workers)


@dataclass(frozen=True)
class MicroKeys:
    """What is asked for as one micro-batch.

    Attributes:
        number: see `Batch`.
        keys: of its samples; where there is no number, of others that look the same.
    """

    number: int | None
    keys: tuple[SampleKey, ...]


class MicroBatches(Dataset[Batch]):
    """Micro-batches as a torch dataset, asked for by their keys.

    Args:
        dataset: their samples.
        collate: makes the model's inputs, and samples lose their clips; None leaves them as read.
    """

    def __init__(self, dataset: ClipDataset, collate: Collate | None = None) -> None:
        self.dataset, self._collate = dataset, collate

    def __getitem__(self, wanted: MicroKeys) -> Batch:
        found = [] if wanted.number is None else self.dataset.read_all(wanted.keys)
        samples = tuple(one for one in found if isinstance(one, Sample))
        bad = tuple(one for one in found if isinstance(one, BadClip))
        read = Batch(samples, bad, wanted.number)
        if self._collate is None:
            return read
        if not samples:
            blank = Batch(tuple(self.dataset.blank(key) for key in wanted.keys))
            return replace(read, arguments=self._collate(blank).arguments)
        inputs = self._collate(read)
        return replace(
            read,
            samples=tuple(replace(one, video_TCHW=None) for one in samples),
            arguments=inputs.arguments,
            clips=sum(one.kind != "text" for one in samples),
            tokens=inputs.tokens,
        )


@dataclass(frozen=True)
class _Plan:
    """The keys of each micro-batch, computed when asked for; a sampler."""

    order: Order
    dealing: Dealing
    start: Position
    steps: int

    def __len__(self) -> int:
        return self.steps * len(self.dealing.numbers)

    def __iter__(self) -> Iterator[MicroKeys]:
        epoch, position = self.start.epoch, self.start.position
        for _ in range(self.steps):
            if position == self.order.steps_per_epoch:
                epoch, position = epoch + 1, 0
            batch = self.order.batch(epoch, position)
            for number in self.dealing.numbers:
                own = self.dealing.samples(batch, number or 0)
                yield MicroKeys(number, tuple(SampleKey(epoch, index) for index in own))
            position += 1


def _torch_loader(
    micro_batches: MicroBatches,
    plan: Iterable[MicroKeys],
    *,
    size: int,
    at_once: int,
    num_workers: int,
) -> "DataLoader[Batch]":
    """Loads `plan`, of which each step takes `at_once` micro-batches of `size` samples."""
    if num_workers:
        # A tokenizer that has used its threads waits for them for ever in a fork, where they are
        # not; left to itself it says so, or sees to it, by its version.
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
    return DataLoader(
        micro_batches,
        batch_size=None,  # they are batches already
        sampler=plan,
        num_workers=num_workers,
        # All of the next step while this one is made, and one more each.
        prefetch_factor=-(-at_once // num_workers) + 1 if num_workers else None,
        pin_memory=torch.cuda.is_available(),
        # A clip that hangs is given up by its reader; this is for a worker that hangs itself.
        timeout=_longest_s(micro_batches, size) if num_workers else 0,
        worker_init_fn=_begin_worker,
        # Making an iterator draws a seed; from the global generator it would shift dropout
        # after a resume.
        generator=torch.Generator().manual_seed(0),
    )


def _longest_s(micro_batches: MicroBatches, size: int) -> float:
    wanted_s = WORKER_TIMEOUT_S + size * micro_batches.dataset.read_timeout_s
    return min(wanted_s, LONGEST_WAIT_S)


def _begin_worker(_: int) -> None:
    """Sets a worker up.

    It lives on when Slurm sends SIGTERM to all processes of a job: torch's workers die of it, and
    their end raises in the rank that is about to save. They end with their rank.

    It sends the numbers of texts as they are. Torch shares the memory of each tensor, for which
    the rank asks the worker over a new connection: a millisecond each, in the trainer's thread.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ForkingPickler.register(Tensor, _reduced)


def _reduced(tensor: Tensor) -> tuple[Any, ...]:
    """How a tensor goes through the pipe to the rank."""
    if tensor.dtype == torch.int64 and tensor.nbytes <= SENT_WHOLE_BYTES:
        return torch.from_numpy, (tensor.numpy(),)
    shared: tuple[Any, ...] = reduce_tensor(tensor)  # type: ignore[no-untyped-call]
    return shared
