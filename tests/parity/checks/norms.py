"""The epsilon of each kind of norm, in our own modules."""

import re
from collections.abc import Iterator

import torch
from torch import nn

from model.presets import PRESETS
from model.video_chat import VideoChat
from model.video_text import VideoTextPretraining
from tests.parity.findings import Finding, compare, same
from tests.parity.vectors import Vector

KINDS = {
    r"blocks\.N\.norm1 / norm2": r"video_encoder\.blocks\.\d+\.norm[12]",
    r"vision_layernorm": r"visual_norm",
    r"every qformer LayerNorm.*": r"qformer\..*norm",
}
"""Where a norm stands in the original, and the names of its kind here."""


def recognises(vector: Vector) -> bool:
    """Norms with their epsilon, inputs and outputs."""
    cases = vector.named("cases").values()
    return bool(cases) and all("eps" in case and "where" in case for case in cases)


def check(vector: Vector) -> Iterator[Finding]:
    """Every norm of each model of ours: its epsilon, and what it gives with it."""
    norms = _our_norms()
    tolerance = vector.facts["tolerance"]["suggested_atol"]
    for case, facts in vector.facts["cases"].items():
        found = {eps for name, eps in norms if re.fullmatch(_kind(facts["where"]), name)}
        yield same(f"{case}.eps", found, {facts["eps"]})
        values = {n: vector.tensors[f"{case}.{n}"] for n in ("x", "weight", "bias", "y")}
        for eps in found:
            norm = nn.LayerNorm(values["x"].shape[-1], eps=eps)
            norm.load_state_dict({n: values[n] for n in ("weight", "bias")})
            yield compare(f"{case}.y", norm(values["x"]), values["y"], tolerance)


def _kind(where: str) -> str:
    found = [ours for theirs, ours in KINDS.items() if re.fullmatch(theirs, where)]
    if len(found) != 1:
        raise ValueError(f"{where!r}: which norms of ours are these?")
    return found[0]


def _our_norms() -> set[tuple[str, float]]:
    """Name and epsilon of every norm of every model."""
    with torch.device("meta"):
        models = (
            VideoTextPretraining(PRESETS["tiny"]),
            *(VideoChat(PRESETS["tiny"], stage=stage) for stage in (2, 3)),
        )
    modules = (each for model in models for each in model.named_modules())
    return {(name, part.eps) for name, part in modules if isinstance(part, nn.LayerNorm)}
