"""Which samples come next, as a function of three integers.

The order holds no state: seed, epoch and position (global batches taken in this epoch) give
the batch. So a run resumes anywhere, with any number of loader workers and of ranks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


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
    """Which part of every global batch a process takes, and in what bites.

    Attributes:
        rank: this process.
        world_size: how many there are.
        micro_batch: samples in one forward pass.
    """

    rank: int
    world_size: int
    micro_batch: int

    def accumulation(self, global_batch: int) -> int:
        """Micro-batches that a rank takes in one step.

        Raises:
            ValueError: if the global batch is not a multiple of ranks x micro-batch.
        """
        times, rest = divmod(global_batch, self.world_size * self.micro_batch)
        if rest or not times:
            raise ValueError(
                f"global_batch {global_batch} is not a multiple of "
                f"{self.world_size} ranks x micro-batch {self.micro_batch}"
            )
        return times

    def take(self, batch: Sequence[int]) -> Sequence[int]:
        """This rank's samples of a global batch; together the ranks take each once."""
        each = len(batch) // self.world_size
        return batch[self.rank * each : (self.rank + 1) * each]


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

    Raises:
        ValueError: if not even one global batch can be filled.
    """

    def __init__(self, num_samples: int, global_batch: int, seed: int, *, stream: int = 0) -> None:
        if not 1 <= global_batch <= num_samples:
            raise ValueError(
                f"{num_samples} samples do not fill one global batch of {global_batch}; "
                "lower global_batch or add data"
            )
        self.num_samples, self.global_batch, self.seed = num_samples, global_batch, seed
        self.steps_per_epoch = num_samples // global_batch
        self._stream = stream
        self._kept: tuple[int, NDArray[np.int64]] | None = None

    def batch(self, epoch: int, position: int) -> tuple[int, ...]:
        """Sample indices of global batch `position` of `epoch`, both from 0.

        Raises:
            IndexError: if the epoch has no such batch.
        """
        if not 0 <= position < self.steps_per_epoch:
            raise IndexError(f"position {position} is not in [0, {self.steps_per_epoch})")
        start = position * self.global_batch
        return tuple(self._permutation(epoch)[start : start + self.global_batch].tolist())

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        """The epoch's order; the last one asked for is kept, as the same is asked for again."""
        if self._kept is None or self._kept[0] != epoch:
            rng = np.random.default_rng((self.seed, self._stream, epoch))
            self._kept = epoch, rng.permutation(self.num_samples)
        return self._kept[1]
