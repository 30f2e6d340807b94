"""The video encoder and the norm behind it: tokens of clips and images, and gradients."""

import re
from collections.abc import Iterator
from functools import partial

from torch import Tensor, nn

from model.layouts import from_reference
from model.video_encoder import VISUAL_NORM_EPS, VideoEncoder
from model.weights import load_tensors
from tests.parity.chat import pixels
from tests.parity.findings import Finding, compare, same
from tests.parity.parts import encoder_config, gradient_findings, tolerance_of
from tests.parity.vectors import Vector

INPUTS = ("image_u8", "grad_seed_tensor", "grad_loss")


def recognises(vector: Vector) -> bool:
    """An encoder alone, with its weights."""
    config = vector.facts.get("config", {})
    return "encoder_depth" in config and any(n.startswith("vision_enc") for n in vector.weights)


def check(vector: Vector) -> Iterator[Finding]:
    """Every output of every case, then the gradients."""
    parts = Parts(vector)
    for case, facts in vector.facts["cases"].items():
        stages = parts(vector.tensors[f"{case}.image_u8"])
        tokens = stages["encoder_out"].shape[1] // facts["T"]
        yield same(f"{case}.tokens_per_frame", tokens, facts["tokens_per_frame"])
        for name in _outputs_of(vector, case):
            want = vector.tensors[f"{case}.{name}"]
            got = _as_stored(name, stages, want)
            yield compare(f"{case}.{name}", got, want, tolerance_of(vector, f"{case}.{name}"))
        if f"{case}.grad_seed_tensor" in vector.tensors:
            yield from _gradients(vector, case, parts, stages["layernorm_out"])


class Parts(nn.Module):
    """Encoder and norm of a vector; gives what lies between, by the vector's names."""

    def __init__(self, vector: Vector) -> None:
        super().__init__()
        self.config = encoder_config(vector.facts["config"])
        self.video_encoder = VideoEncoder(self.config)
        self.visual_norm = nn.LayerNorm(self.config.width, eps=VISUAL_NORM_EPS)
        load_tensors(self, from_reference(vector.weights), source=vector.name)
        self.eval()
        self.between: dict[str, Tensor] = {}
        self.video_encoder.patch_embed.register_forward_hook(self._keep_patches)
        for index, block in enumerate(self.video_encoder.blocks):
            block.register_forward_hook(partial(self._keep_block, index))

    def _keep_patches(self, _: nn.Module, __: tuple[Tensor], out: Tensor) -> None:
        self.between["patch_embed_out"] = out.flatten(2).transpose(1, 2)

    def _keep_block(self, index: int, _: nn.Module, given: tuple[Tensor], out: Tensor) -> None:
        self.between |= {f"block{index}_in": given[0], f"block{index}_out": out}

    def forward(self, image_u8: Tensor) -> dict[str, Tensor]:
        """All stages, each (B, L, D)."""
        out = self.video_encoder(pixels(image_u8, self.config.image_size))
        return {**self.between, "encoder_out": out, "layernorm_out": self.visual_norm(out)}


def _outputs_of(vector: Vector, case: str) -> list[str]:
    names = [n.removeprefix(f"{case}.") for n in vector.tensors if n.startswith(f"{case}.")]
    return [name for name in names if name not in INPUTS]


def _as_stored(name: str, stages: dict[str, Tensor], want: Tensor) -> Tensor:
    """The whole, every 97th row of it, or its mean over the tokens."""
    if name.endswith("_mean_over_tokens"):
        return stages[name.removesuffix("_mean_over_tokens")].mean(dim=1)
    rows = re.fullmatch(r"(.+)_rows(\d+)", name)
    if rows:
        return stages[rows[1]][:, :: int(rows[2])]
    whole = stages[name]
    by_frame = want.dim() == 4  # (B, T, L, D)
    return whole.unflatten(1, (want.shape[1], -1)) if by_frame else whole


def _gradients(vector: Vector, case: str, parts: Parts, out: Tensor) -> Iterator[Finding]:
    parts.zero_grad()
    loss = (out * vector.tensors[f"{case}.grad_seed_tensor"]).sum()
    loss.backward()
    want = vector.tensors[f"{case}.grad_loss"]
    tolerance = max(tolerance_of(vector, f"{case}.layernorm_out"), 1e-5 * float(want.abs()))
    yield compare(f"{case}.grad_loss", loss.reshape(1), want, tolerance)
    held = {n.removeprefix("grad."): t for n, t in vector.tensors.items() if n.startswith("grad.")}
    yield from gradient_findings(parts, held)
    without = {n for n, p in parts.named_parameters() if p.grad is None}
    yield same(f"{case}: parameters without a gradient", sorted(without), [])
    yield same(f"{case}: gradients compared", len(held), len(list(parts.parameters())))
