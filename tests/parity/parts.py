"""Our video encoder in the sizes of a vector, and gradients under the original's names."""

from collections.abc import Iterator, Mapping
from math import inf
from typing import Any

from torch import Tensor, nn

from model.config import VideoEncoderConfig
from model.layouts import from_reference
from tests.parity.findings import DEFAULT_ATOL, Finding, compare
from tests.parity.forward import RELATIVE_GRADIENT
from tests.parity.vectors import Vector

TRAINED_AT_PX, TRAINED_GRID = 224, 14
"""The original's table for 224 pixels is made for the grid at hand, any other one from 14 x 14."""


def encoder_config(facts: Mapping[str, Any]) -> VideoEncoderConfig:
    """Our configuration of the original's `vision_encoder`."""
    if facts.get("tubelet_size", 1) != 1:
        raise ValueError(f"tubelet_size {facts['tubelet_size']}: VideoChat2 has one frame a token")
    grid = facts["img_size"] // facts["patch_size"]
    return VideoEncoderConfig(
        image_size=facts["img_size"],
        patch_size=facts["patch_size"],
        width=facts["encoder_embed_dim"],
        depth=facts["encoder_depth"],
        blocks_built=facts["encoder_depth"] + facts.get("return_index", -1) + 1,
        heads=facts["encoder_num_heads"],
        mlp_ratio=facts.get("mlp_ratio", 4.0),
        position_frames=facts.get("ckpt_num_frame", 4),
        position_grid=grid if facts["img_size"] == TRAINED_AT_PX else TRAINED_GRID,
        drop_path=facts["drop_path_rate"],
    )


def tolerance_of(vector: Vector, name: str) -> float:
    """The suggested tolerance of a value, or of that which `NAME_rows97` is a part of."""
    given = vector.facts["tolerance"]
    whole = max((each for each in given if name.startswith(each)), key=len, default="")
    return float(given.get(whole, {}).get("suggested_atol", DEFAULT_ATOL))


def gradient_findings(module: nn.Module, gradients: Mapping[str, Tensor]) -> Iterator[Finding]:
    """Compares gradients that a vector holds by the original's parameter names."""
    parameters = dict(module.named_parameters())
    for theirs, want in gradients.items():
        got = parameters[our_name(theirs, want)].grad
        if got is None:
            yield Finding(f"grad.{theirs}", inf, 0.0, "no gradient")
            continue
        yield compare(f"grad.{theirs}", got, want, RELATIVE_GRADIENT * float(want.abs().max()))


def norm_findings(
    gradients: Mapping[str, Tensor | None],
    norms: Mapping[str, float],
    weights: Mapping[str, Tensor],
) -> Iterator[Finding]:
    """Compares the norm of each gradient; a parameter of ours without one is a finding.

    Args:
        gradients: Of all trainable parameters, by our names.
        norms: What the vector says, by the original's names.
        weights: The vector's, for their shapes.
    """
    left = dict(gradients)
    for theirs, want in norms.items():
        got = left.pop(our_name(theirs, weights[theirs]), None)
        norm = inf if got is None else float(got.double().norm())
        yield compare(f"grad_norm {theirs}", norm, want, RELATIVE_GRADIENT * want + 1e-6)
    for ours in sorted(left):
        yield Finding(f"grad_norm {ours}", inf, 0.0, "the original has no such parameter")


def our_name(theirs: str, like: Tensor) -> str:
    """Our name of one parameter of the original."""
    return next(iter(from_reference({theirs: like})))
