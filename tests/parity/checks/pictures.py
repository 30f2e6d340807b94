"""Frames cropped, resized and normalised, to the grey level."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from torch import Tensor

from jobs.data.transform import Augmentation, resized, to_pixels
from model.pixels import normalised
from tests.parity.checks.crops import TorchDraws
from tests.parity.findings import Finding, compare, same
from tests.parity.vectors import Vector

GREY_LEVELS = re.compile(r"allow (\d+) grey level")
ROUNDING = 1e-6
"""Relative: of float32 sums."""


def recognises(vector: Vector) -> bool:
    return "train_transform" in vector.module and "cases" in vector.facts


def check(vector: Vector) -> Iterator[Finding]:
    config, text = vector.facts["config"], str(vector.facts["tolerance"])
    found = GREY_LEVELS.search(text)
    grey_levels = float(found[1]) if found else 0.0
    for name, cases in vector.facts["cases"].items():
        frames, size_px = vector.tensors[f"{name}.frames_u8"], config["image_res"]
        whole = resized(frames, size_px)
        want = vector.tensors[f"{name}.test_resize_u8"]
        yield compare(f"{name} test", whole, want, grey_levels)
        for seed, case in cases.items():
            want = vector.tensors[f"{name}.{seed}.cropped_resized_u8_before_flip"]
            yield from _check_case(f"{name} {seed}", case, frames, want, (config, grey_levels))


def _check_case(
    what: str, case: dict[str, Any], frames: Tensor, want: Tensor, given: tuple[Any, float]
) -> Iterator[Finding]:
    (config, grey_levels), (height, width) = given, frames.shape[-2:]
    draws = TorchDraws(case["torch_manual_seed"])
    drawn = Augmentation.draw(height, width, draws, min_scale=config["scale"][0], flip=True)
    box = Augmentation(*(case[f"crop_{side}"] for side in ("top", "left", "h", "w")))
    yield same(f"{what} crop and flip", drawn, replace(box, mirrored=case["hflip"]))
    yield compare(what, resized(frames, config["image_res"], box), want, grey_levels)
    channels_last = frames.permute(0, 2, 3, 1).numpy()
    final = normalised(to_pixels(channels_last, config["image_res"], drawn))
    yield compare(f"{what} mean", float(final.mean()), case["final_mean"], ROUNDING)
    total, want_total = float(final.abs().sum()), case["final_sum_abs"]
    yield compare(f"{what} sum", total, want_total, ROUNDING * want_total)
