"""How far a training run has come."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a training run has come; the data position follows from it.

    Attributes:
        step: Optimizer steps done.
        epoch: The epoch that the next step belongs to, from 0.
        batch: Global batches already used of that epoch.
        samples_seen: Samples taken since step 0.
        skipped: Of the steps, those that changed no weight.
        skipped_in_a_row: Of them, those since the last good one.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    samples_seen: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
