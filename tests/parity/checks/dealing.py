"""How an epoch's samples are dealt out to ranks and cut into batches."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from jobs.contract.batching import Batching
from jobs.data.sampler import Dealing, GlobalOrder
from tests.parity.findings import Finding, same
from tests.parity.vectors import Vector


def recognises(vector: Vector) -> bool:
    return "DistributedSampler" in vector.module


def check(vector: Vector) -> Iterator[Finding]:
    for case in vector.facts["cases"]:
        yield from _check_case(case)


def padded_permutation(case: dict[str, Any]) -> np.ndarray:
    """The original's order of an epoch: torch's, filled up with its own start."""
    generator = torch.Generator().manual_seed(case["epoch"])
    order = torch.randperm(case["N"], generator=generator).numpy()
    missing = -case["N"] % case["world"]
    return np.concatenate([order, np.resize(order, missing)])


def _check_case(case: dict[str, Any]) -> Iterator[Finding]:
    """Our order and our dealing over the original's permutation give each rank its samples.

    What fills no global batch is listed in the vector, though no rank trains on it.
    """
    what = f"N {case['N']} world {case['world']} batch {case['batch']} epoch {case['epoch']}"
    permutation = padded_permutation(case)
    if len(permutation) < case["world"] * case["batch"]:
        yield same(f"{what}: batches", 0, case["batches_per_rank"])  # ours says so when it is made
        return
    order = GlobalOrder(
        len(permutation),
        case["world"] * case["batch"],
        seed=0,
        permute=lambda _, count: permutation[:count],
    )
    yield same(f"{what}: batches", order.steps_per_epoch, case["batches_per_rank"])
    rest = permutation[order.steps_per_epoch * order.global_batch :].tolist()
    batching = Batching(order.global_batch, case["batch"], case["world"])
    for rank in range(case["world"]):
        dealing = Dealing(batching, rank, case["world"])
        taken = [
            index
            for position in range(order.steps_per_epoch)
            for number in dealing.numbers
            for index in dealing.samples(order.batch(case["epoch"], position), number)
        ]
        indices = [*taken, *rest[rank :: case["world"]]]
        yield same(f"{what}: samples of rank {rank}", len(indices), case["samples_per_rank"])
        yield same(f"{what}: rank {rank}", indices, case["indices_rank"][str(rank)])
