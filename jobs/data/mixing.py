"""Several sets in one epoch: every batch of one kind of media, kinds in proportion to size.

One kind a batch, because pictures and clips differ in shape, and all ranks must do the same
work in the same step.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jobs.data.items import Kind, MediaSet
from jobs.data.sampler import GlobalOrder

KINDS: tuple[Kind, ...] = ("image", "video", "text")


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
            if len(members) < global_batch:
                raise ValueError(
                    f"the {kind} sets hold {len(members)} samples, fewer than one global batch "
                    f"of {global_batch}; lower global_batch or drop these sets"
                )
            stream = KINDS.index(kind)
            self._orders[kind] = GlobalOrder(len(members), global_batch, seed, stream=stream)
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
        members = self._members[kind]
        return tuple(int(members[i]) for i in self._orders[kind].batch(epoch, place))

    def _schedule(self, epoch: int) -> tuple[tuple[Kind, int], ...]:
        """For each position its kind and how many batches of that kind came before."""
        if self._kept is None or self._kept[0] != epoch:
            batches = [
                kind for kind, order in self._orders.items() for _ in range(order.steps_per_epoch)
            ]
            rng = np.random.default_rng((self.seed, len(KINDS), epoch))
            before: dict[Kind, int] = dict.fromkeys(self._orders, 0)
            schedule = []
            for i in rng.permutation(len(batches)):
                kind = batches[i]
                schedule.append((kind, before[kind]))
                before[kind] += 1
            self._kept = epoch, tuple(schedule)
        return self._kept[1]


def _members_by_kind(sets: Sequence[tuple[Kind, int]]) -> dict[Kind, NDArray[np.int64]]:
    ends = np.cumsum([size for _, size in sets])
    found: dict[Kind, list[NDArray[np.int64]]] = {}
    for (kind, size), end in zip(sets, ends, strict=True):
        found.setdefault(kind, []).append(np.arange(end - size, end))
    return {kind: np.concatenate(found[kind]) for kind in KINDS if kind in found}
