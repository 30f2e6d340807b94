"""How the samples of an optimizer step are cut, whatever the number of ranks."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Batching:
    """How the samples of an optimizer step are cut into micro-batches.

    The same on any number of ranks: a job that has lost nodes goes through the same
    micro-batches in more rounds, so its losses stay what they were.

    Attributes:
        global_batch: Samples of a step.
        micro_batch: Samples of one forward pass.
        full_world: Ranks of a job that has all of its nodes; it decides which samples make a
            micro-batch.
    """

    global_batch: int
    micro_batch: int
    full_world: int

    @property
    def micro_batches(self) -> int:
        """Of one step, over all ranks."""
        return self.global_batch // self.micro_batch

    def rounds(self, world_size: int) -> int:
        """Forward passes that each of `world_size` ranks makes in a step.

        In the last round some ranks may have nothing to do: they go along with weight 0.
        """
        return -(-self.micro_batches // world_size)
