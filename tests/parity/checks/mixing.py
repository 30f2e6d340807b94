"""Batches of several kinds of media in one epoch: how many of each, in what order."""

import random
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from jobs.data.items import Kind
from jobs.data.mixing import MixedOrder, epoch_kinds
from tests.parity.findings import Finding, compare, same
from tests.parity.vectors import Vector

EPOCHS = 400
BATCH = 2
SPREAD = 4.0
"""Standard errors that a mean over 400 epochs may be off, theirs and ours together."""


def recognises(vector: Vector) -> bool:
    return "MetaLoader" in vector.module


def check(vector: Vector) -> Iterator[Finding]:
    for name, case in vector.facts["cases"].items():
        lengths: dict[Kind, int] = case["loader_lengths"]
        yield from _check_orders(name, case, lengths)
        yield from _check_mixed_order(name, case, lengths)


def _check_orders(name: str, case: dict[str, Any], lengths: dict[Kind, int]) -> Iterator[Finding]:
    """With Python's own shuffle the order is the original's, letter by letter."""
    for seed, want in case["orders_by_seed_first_letters"].items():
        kinds = epoch_kinds(lengths, random.Random(int(seed)).shuffle)
        letters = "".join(kind[0] for kind in kinds)
        if want is None:
            yield same(f"{name} seed {seed}: counts", Counter(kinds), Counter(lengths))
        else:
            yield same(f"{name} seed {seed}", letters, want)


def _check_mixed_order(
    name: str, case: dict[str, Any], lengths: dict[Kind, int]
) -> Iterator[Finding]:
    """The order that a run takes: exact counts, the original's statistics."""
    sets = [(kind, length * BATCH) for kind, length in lengths.items()]
    order = MixedOrder(sets, BATCH, seed=0)
    total, share = case["total"], case["share_video_expected"]
    yield same(f"{name}: steps", order.steps_per_epoch, total)
    epochs = [[order.kind(epoch, i) for i in range(total)] for epoch in range(EPOCHS)]
    for epoch in (0, 1):
        yield same(f"{name}: counts of epoch {epoch}", Counter(epochs[epoch]), Counter(lengths))
    got = sum(kind == "video" for kind in epochs[0]) / total
    yield compare(f"{name}: share of video", got, share, 1e-12)
    error = (share * (1 - share) * 2 / EPOCHS) ** 0.5
    first = sum(kinds[0] == "video" for kinds in epochs) / EPOCHS
    want = case["first_is_video_of_400"]
    yield compare(f"{name}: first is video", first, want, SPREAD * error)
    yield from _check_runs(name, case, [float(_runs(kinds)) for kinds in epochs])


def _check_runs(name: str, case: dict[str, Any], runs: list[float]) -> Iterator[Finding]:
    mean = sum(runs) / len(runs)
    error = (sum((each - mean) ** 2 for each in runs) / len(runs) / len(runs)) ** 0.5
    want = case["mean_number_of_runs_of_400"]
    yield compare(f"{name}: runs", mean, want, SPREAD * 2**0.5 * error)
    if case["expected_runs"] is not None:
        yield compare(f"{name}: expected runs", mean, case["expected_runs"], SPREAD * error)


def _runs(kinds: list[Kind]) -> int:
    return 1 + sum(one != other for one, other in pairwise(kinds))
