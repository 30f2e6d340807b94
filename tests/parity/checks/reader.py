"""Which frames are read out of a real file, and their pixels."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jobs.data.sampling import Sampling
from jobs.data.video import Clip, Wish, read_clip
from tests.parity.checks.sampling import ReferenceDraws
from tests.parity.findings import Finding, compare, same
from tests.parity.vectors import Vector

GREY_LEVELS = 3.0
"""The vector says "a few"; between its own two decoders it found none."""
MEAN_LEVELS = 0.5
"""Of a frame's mean colour; so a neighbour is seen by its colours in most places."""
CASE = re.compile(r"(?P<decoder>decord|av)\.(?P<mode>[a-z]+)(?P<number>[\d.]*)(?:_\w+)?")


def recognises(vector: Vector) -> bool:
    return "read_frames_decord" in vector.module and "video" in vector.facts


def check(vector: Vector) -> Iterator[Finding]:
    path = vector.path.parent / vector.facts["video"]
    for name, case in vector.facts["cases"].items():
        found = CASE.fullmatch(name)
        if found is None:
            raise ValueError(f"{name!r} is not of the form {CASE.pattern}")
        if found["mode"] == "all":
            yield from _check_all(name, case, path, vector)
        else:
            yield from _check_case(name, case, path, vector)


def _check_case(name: str, case: dict[str, Any], path: Path, vector: Vector) -> Iterator[Finding]:
    want = case["indices"]
    clip = read_clip(path, _wish(name, case))
    if ".fps" in name:
        clip = _without_padding(clip)
    rate = case.get("fps") or vector.facts["cases"]["av.all"]["fps"]
    yield same(f"{name} indices", [round(second * rate) for second in clip.seconds], want)
    if "n_frames" in case:
        yield same(f"{name} frames", len(clip.frames_THWC), case["n_frames"])
    means = clip.frames_THWC.mean((1, 2))
    all_means = vector.tensors["decord.all_frames_mean_rgb"][want]
    yield compare(f"{name} colours of these indices", torch.tensor(means), all_means, MEAN_LEVELS)
    if name in vector.tensors:
        yield compare(name, _pixels_TCHW(clip), vector.tensors[name], GREY_LEVELS)
    if f"{name}_mean_rgb" in vector.tensors:
        wanted = vector.tensors[f"{name}_mean_rgb"]
        yield compare(f"{name} mean rgb", torch.tensor(means), wanted, MEAN_LEVELS)


def _check_all(name: str, case: dict[str, Any], path: Path, vector: Vector) -> Iterator[Finding]:
    clip = read_clip(path, Wish(case["vlen"]))
    rate = (len(clip.seconds) - 1) / (clip.seconds[-1] - clip.seconds[0])
    yield same(f"{name} frames", len(set(clip.seconds)), case["vlen"])
    yield compare(f"{name} fps", rate, case["fps"], 1e-3)
    means = torch.tensor(clip.frames_THWC.mean((1, 2)))
    for decoder in ("av", "decord"):
        wanted = vector.tensors[f"{decoder}.all_frames_mean_rgb"]
        yield compare(f"{name} mean rgb, {decoder}", means, wanted, MEAN_LEVELS)


def _wish(name: str, case: dict[str, Any]) -> Wish:
    """What the original was asked for, in our words."""
    found = CASE.fullmatch(name)
    mode, number = (found["mode"], found["number"]) if found else ("", "")
    frames = len(case["indices"])
    start_s, end_s = case.get("clip", (None, None))
    if mode == "rand":
        draws = ReferenceDraws(case["python_random_seed"])
        return Wish(frames, Sampling.parse("rand_reference"), draws, start_s, end_s)
    sampling = Sampling.parse(f"fps{number}" if mode == "fps" else mode)
    # One more than there are at this rate, so that it shows where the original stopped.
    return Wish(frames + 1 if mode == "fps" else frames, sampling, None, start_s, end_s)


def _without_padding(clip: Clip) -> Clip:
    kept = len(set(clip.seconds))
    return replace(clip, frames_THWC=clip.frames_THWC[:kept], seconds=clip.seconds[:kept])


def _pixels_TCHW(clip: Clip) -> torch.Tensor:  # noqa: N802 - the letters are its shape
    return torch.from_numpy(np.ascontiguousarray(clip.frames_THWC)).permute(0, 3, 1, 2)
