"""Which part of a frame a training crop takes."""

import re
from collections.abc import Iterator

import numpy as np
import torch

from jobs.data.transform import GeneratorUniform, crop_box
from tests.parity.findings import Finding, compare, same
from tests.parity.vectors import Vector

MIN_SCALE = 0.5
"""The reference's, which these vectors do not repeat."""
KEY = re.compile(r"(?P<height>\d+)x(?P<width>\d+)_(?P<what>seed|stats)(?P<number>\d+)")
SPREAD = 4.0
"""Standard errors that a mean may be off, theirs and ours together."""


class TorchDraws:
    """The calls of torch's generator that torchvision makes."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def uniform(self, low: float, high: float) -> float:
        return torch.empty(1).uniform_(low, high, generator=self._generator).item()

    def integer(self, end: int) -> int:
        return int(torch.randint(0, end, (1,), generator=self._generator).item())


def recognises(vector: Vector) -> bool:
    return "RandomResizedCrop" in vector.module and "draws" in vector.facts


def check(vector: Vector) -> Iterator[Finding]:
    min_scale = vector.facts.get("scale", [MIN_SCALE])[0]
    for key, want in vector.facts["draws"].items():
        found = KEY.fullmatch(key)
        if found is None:
            raise ValueError(f"{key!r} is not of the form {KEY.pattern}")
        height, width, number = (int(found[name]) for name in ("height", "width", "number"))
        if found["what"] == "seed":
            box = crop_box(height, width, TorchDraws(number), min_scale)
            yield same(key, list(box), want)
        else:
            yield from _check_stats(key, (height, width), number, want, min_scale)


def _check_stats(
    key: str, sides: tuple[int, int], count: int, want: dict[str, float], min_scale: float
) -> Iterator[Finding]:
    """What a run draws, with its own generator, spreads as the original's draws do."""
    draws, (height, width) = GeneratorUniform(np.random.default_rng(0)), sides
    boxes = [crop_box(height, width, draws, min_scale)[2:] for _ in range(count)]
    areas = torch.tensor([h * w / (height * width) for h, w in boxes])
    aspects = torch.tensor([w / h for h, w in boxes])
    allowed = SPREAD * (2 / count) ** 0.5
    for name, got, wanted in (
        ("area", areas, want["mean_area_fraction"]),
        ("aspect", aspects, want["mean_aspect_w_over_h"]),
    ):
        yield compare(f"{key} mean {name}", float(got.mean()), wanted, allowed * float(got.std()))
    # The smallest of so many lies within 10 / count of the range above its end; rounding of
    # the sides, half a pixel each, takes it below.
    slack = 10 / count * (1 - min_scale) + 0.5 / height + 0.5 / width
    yield compare(f"{key} least area", float(areas.min()), want["min_area_fraction"], slack)
