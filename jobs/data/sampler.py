"""Which samples come next, as a function of three integers.

The order holds no state: seed, epoch and position (global batches taken in this epoch) give
the batch. So a run resumes anywhere, with any number of loader workers and of ranks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from jobs.contract.batching import Batching

Indices = NDArray[np.signedinteger[Any]]
Permute = Callable[[int, int], Indices]
"""Gives the order of an epoch, from the epoch's number and that of the samples."""


@dataclass(frozen=True)
class Position:
    """A point in the order; with the seed all that a checkpoint keeps of it.

    Attributes:
        epoch: from 0.
        position: global batches taken in this epoch.
    """

    epoch: int
    position: int


@dataclass(frozen=True)
class RankShare:
    """Which part of an evaluation a process takes, and in what bites.

    Attributes:
        rank: this process.
        world_size: how many there are.
        micro_batch: samples in one forward pass.
    """

    rank: int
    world_size: int
    micro_batch: int


@dataclass(frozen=True)
class Dealing:
    """Which micro-batches of every step a rank takes, and which samples each of them holds.

    The samples of a micro-batch do not depend on how many ranks there are: number j holds what
    rank `j % full_world` of a job with all its ranks takes as its bite `j // full_world`. On
    other numbers of ranks only who takes which micro-batch differs.

    Attributes:
        batching: how the samples of a step are cut.
        rank: this process.
        world_size: how many there are.
    """

    batching: Batching
    rank: int
    world_size: int

    @property
    def numbers(self) -> tuple[int | None, ...]:
        """Of a step's micro-batches those of this rank, one a round; None: it has none left."""
        rounds, count = self.batching.rounds(self.world_size), self.batching.micro_batches
        own = (self.rank + each * self.world_size for each in range(rounds))
        return tuple(number if number < count else None for number in own)

    def samples(self, batch: Sequence[int], number: int) -> Sequence[int]:
        """The samples of micro-batch `number` of a global batch."""
        size = self.batching.micro_batch
        bite, rank = divmod(number, self.batching.full_world)
        return batch[rank :: self.batching.full_world][bite * size : (bite + 1) * size]


class Order(Protocol):
    """A stateless order of samples."""

    @property
    def global_batch(self) -> int:
        """Samples in one step, over all ranks and accumulated micro-batches."""

    @property
    def steps_per_epoch(self) -> int:
        """Whole global batches in an epoch; what does not fill one is left out that epoch."""

    def batch(self, epoch: int, position: int) -> Sequence[int]:
        """Sample indices of global batch `position` of `epoch`, both from 0."""


class GlobalOrder:
    """A new permutation every epoch, cut into global batches.

    Args:
        num_samples: samples in the set.
        global_batch: samples in one step.
        seed: of the run.
        stream: keeps apart several orders of one seed.
        permute: gives each epoch's order in place of a generator of `seed`.

    Raises:
        ValueError: if not even one global batch can be filled.
    """

    def __init__(
        self,
        num_samples: int,
        global_batch: int,
        seed: int,
        *,
        stream: int = 0,
        permute: Permute | None = None,
    ) -> None:
        if not 1 <= global_batch <= num_samples:
            raise ValueError(
                f"{num_samples} samples do not fill one global batch of {global_batch}; "
                "lower global_batch or add data"
            )
        self.num_samples, self.global_batch = num_samples, global_batch
        self.steps_per_epoch = num_samples // global_batch
        self._permute = permute or seeded_permutation(seed, stream)
        self._kept: tuple[int, Indices] | None = None

    def batch(self, epoch: int, position: int) -> tuple[int, ...]:
        """Sample indices of global batch `position` of `epoch`, both from 0.

        Raises:
            IndexError: if the epoch has no such batch.
        """
        if not 0 <= position < self.steps_per_epoch:
            raise IndexError(f"position {position} is not in [0, {self.steps_per_epoch})")
        start = position * self.global_batch
        return tuple(self._permutation(epoch)[start : start + self.global_batch].tolist())

    def _permutation(self, epoch: int) -> Indices:
        """The epoch's order; the last one asked for is kept, as the same is asked for again."""
        if self._kept is None or self._kept[0] != epoch:
            self._kept = epoch, self._permute(epoch, self.num_samples)
        return self._kept[1]


def seeded_permutation(seed: int, stream: int = 0) -> Permute:
    """Permutations that depend on seed, stream and epoch alone, in whatever process."""

    def permute(epoch: int, count: int) -> Indices:
        rng = np.random.default_rng((seed, stream, epoch))
        # Half the memory, which each rank needs, as long as the numbers fit.
        fitting = np.int32 if count <= np.iinfo(np.int32).max else np.int64
        return rng.permutation(np.arange(count, dtype=fitting))

    return permute
