"""The encoder's position tables: whole ones, and rows and sums of those at full size."""

import ast
import math
import re
from collections.abc import Iterator

import torch
from torch import Tensor

from model.video_encoder import position_table
from tests.parity.findings import Finding, compare
from tests.parity.parts import TRAINED_GRID
from tests.parity.vectors import Vector

DEFAULT_FRAMES = 4
"""For how many frames the original makes its table."""


def recognises(vector: Vector) -> bool:
    """Tables, each described by the call that made it."""
    return "sinusoid_encoding_table" in vector.module and "tables" in vector.facts


def check(vector: Vector) -> Iterator[Finding]:
    """Every table."""
    tolerance = _tolerance(vector)
    for name, told in vector.facts["tables"].items():
        want = vector.tensors[name]
        if "(" in told and told.startswith("get_"):
            yield compare(name, _table_of_call(told)[None], want, tolerance)
        else:
            yield from _part_of_table(name, told, want, tolerance)
    for name in vector.tensors.keys() - vector.facts["tables"].keys():
        yield Finding(name, math.inf, tolerance, "the description does not say what it is")


def _tolerance(vector: Vector) -> float:
    """The suggested one, which stands in a note."""
    told = re.search(r"atol ([\d.e-]+)", vector.facts["tolerance"]["note"])
    if told is None:
        raise ValueError(f"{vector.name}: no tolerance")
    return float(told[1])


def _table_of_call(told: str) -> Tensor:
    """Our table for a call of `get_sinusoid_encoding_table` or its sibling for other sizes.

    The first makes it for the grid at hand, the second always from 14 x 14 patches.
    """
    call = ast.parse(told, mode="eval").body
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise TypeError(f"{told}: no call")
    tokens, width = (ast.literal_eval(each) for each in call.args)
    named = {each.arg: ast.literal_eval(each.value) for each in call.keywords}
    from_trained_grid = call.func.id.endswith("2")
    made_for = named.get("ckpt_num_frame", DEFAULT_FRAMES if from_trained_grid else -1)
    default = 8 if from_trained_grid else 12
    frames = named.get("cur_frame", default) if made_for != -1 else 1
    grid = math.isqrt(tokens // frames)
    return position_table(
        width,
        frames,
        grid,
        table_frames=frames if made_for == -1 else made_for,
        table_grid=TRAINED_GRID if from_trained_grid else grid,
    )


def _part_of_table(name: str, told: str, want: Tensor, tolerance: float) -> Iterator[Finding]:
    """Some rows of a table at full size, and sums over all of it, as means."""
    sizes = re.search(r"width (\d+), T=(\d+)", told)
    rows = re.search(r"rows (\[[\d, ]+\])", told)
    if sizes is None or rows is None:
        raise ValueError(f"{name}: {told!r} names no rows of a table")
    table = position_table(
        int(sizes[1]),
        int(sizes[2]),
        TRAINED_GRID,
        table_frames=DEFAULT_FRAMES,
        table_grid=TRAINED_GRID,
    )
    yield compare(name, table[torch.tensor(ast.literal_eval(rows[1]))], want, tolerance)
    exact = table.double()
    for what, sums in (("entries", exact), ("squares", exact.square())):
        told_sum = re.search(rf"sum of (?:all )?{what} ([\d.]+)", told)
        if told_sum is None:
            raise ValueError(f"{name}: {told!r} has no sum of {what}")
        # Each entry may be off by the rounding of float32, in either direction.
        off = 1e-7 * math.sqrt(table.numel())
        yield compare(
            f"{name}: sum of {what}",
            sums.sum(),
            torch.tensor(float(told_sum[1]), dtype=torch.float64),
            off,
        )
