"""Several sets in one epoch: every batch of one kind of media, kinds in proportion to size.

One kind a batch, because pictures and clips differ in shape, and all ranks must do the same
work in the same step.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from jobs.data.items import KINDS, Kind, MediaSet
from jobs.data.sampler import GlobalOrder


class MixedOrder:
    """A stateless order over sets: see `jobs.data.sampler.Order`.

    Sample indices count through all sets in the order given, as `ClipDataset` does. Sets of
    one kind are shuffled together. Of each kind, what does not fill a global batch is left
    out that epoch; the next epoch leaves out others.

    Args:
        sets: kind and number of samples of each set.
        global_batch: samples in one step, over all ranks.
        seed: of the run.

    Raises:
        ValueError: if a kind has too few samples for one global batch.
    """

    def __init__(self, sets: Sequence[tuple[Kind, int]], global_batch: int, seed: int) -> None:
        self.global_batch, self.seed = global_batch, seed
        self._members = _members_by_kind(sets)
        self._orders: dict[Kind, GlobalOrder] = {}
        for kind, members in self._members.items():
            if members.total < global_batch:
                raise ValueError(
                    f"the {kind} sets hold {members.total} samples, fewer than one global batch "
                    f"of {global_batch}; lower global_batch or drop these sets"
                )
            stream = KINDS.index(kind)
            self._orders[kind] = GlobalOrder(members.total, global_batch, seed, stream=stream)
        self.steps_per_epoch = sum(order.steps_per_epoch for order in self._orders.values())
        self._kept: tuple[int, tuple[tuple[Kind, int], ...]] | None = None

    @classmethod
    def of(cls, sets: Sequence[MediaSet], global_batch: int, seed: int) -> "MixedOrder":
        """The order over a corpus."""
        return cls([(one.kind, len(one.items)) for one in sets], global_batch, seed)

    def kind(self, epoch: int, position: int) -> Kind:
        """The kind of media of global batch `position` of `epoch`."""
        return self._schedule(epoch)[position][0]

    def batch(self, epoch: int, position: int) -> tuple[int, ...]:
        """Sample indices of global batch `position` of `epoch`, all of one kind.

        Raises:
            IndexError: if the epoch has no such batch.
        """
        if not 0 <= position < self.steps_per_epoch:
            raise IndexError(f"position {position} is not in [0, {self.steps_per_epoch})")
        kind, place = self._schedule(epoch)[position]
        return self._members[kind].indices(self._orders[kind].batch(epoch, place))

    def _schedule(self, epoch: int) -> tuple[tuple[Kind, int], ...]:
        """For each position its kind and how many batches of that kind came before."""
        if self._kept is None or self._kept[0] != epoch:
            rng = np.random.default_rng((self.seed, len(KINDS), epoch))
            counts = {kind: order.steps_per_epoch for kind, order in self._orders.items()}
            before: dict[Kind, int] = dict.fromkeys(self._orders, 0)
            schedule = []
            for kind in epoch_kinds(counts, rng.shuffle):
                schedule.append((kind, before[kind]))
                before[kind] += 1
            self._kept = epoch, tuple(schedule)
        return self._kept[1]


def epoch_kinds(batches: Mapping[Kind, int], shuffle: Callable[[list[Kind]], object]) -> list[Kind]:
    """The kind of each batch of an epoch.

    As the reference's MetaLoader: a list with a kind once for each of its batches, the kinds in
    alphabetical order, shuffled.

    Args:
        batches: how many batches there are of each kind.
        shuffle: brings a list into random order, in place.
    """
    kinds: list[Kind] = [kind for kind in sorted(batches) for _ in range(batches[kind])]
    shuffle(kinds)
    return kinds


@dataclass(frozen=True)
class _Members:
    """Samples of some of the sets, counted among themselves and through all sets.

    Attributes:
        starts: first sample of each, counted through all sets.
        sizes: how many samples each has.
    """

    starts: tuple[int, ...]
    sizes: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.sizes)

    def indices(self, places: Sequence[int]) -> tuple[int, ...]:
        """Counted through all sets, what is counted among these."""
        ends = list(accumulate(self.sizes))
        which = [bisect_right(ends, place) for place in places]
        return tuple(
            self.starts[i] + place - (ends[i] - self.sizes[i])
            for i, place in zip(which, places, strict=True)
        )


def _members_by_kind(sets: Sequence[tuple[Kind, int]]) -> dict[Kind, _Members]:
    ends = list(accumulate(size for _, size in sets))
    found: dict[Kind, list[tuple[int, int]]] = {}
    for (kind, size), end in zip(sets, ends, strict=True):
        found.setdefault(kind, []).append((end - size, size))
    return {
        kind: _Members(*map(tuple, zip(*found[kind], strict=True)))
        for kind in KINDS
        if kind in found
    }
