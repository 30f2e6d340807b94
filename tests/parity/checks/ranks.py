"""The contrastive loss over ranks: one process beside several real ones, over gloo.

The vector keeps no weights: what is compared are the gradients' ratios, of our own model.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from model.layouts import from_reference
from model.presets import PRESETS
from model.video_text import VideoTextPretraining
from tests.parity.findings import DEFAULT_ATOL, Finding, compare
from tests.parity.vectors import Vector
from tests.ranks import in_ranks

PAIRS_A_RANK = 2
SETTINGS = ("reference", "whole")
Answer = tuple[Tensor, dict[str, Tensor]]
"""Loss, and the gradient of each parameter by the original's name."""


def recognises(vector: Vector) -> bool:
    """Losses and gradient norms of several world sizes."""
    return "world" in vector.facts and any(n.startswith("grad_ratio") for n in vector.facts)


def check(vector: Vector) -> Iterator[Finding]:
    """Loss and gradients of each world, under both settings."""
    ratios = next(v for n, v in vector.facts.items() if n.startswith("grad_ratio"))
    largest = max(int(size) for size in vector.facts["world"])
    alone = {each: _answer(each, list(ratios), 0, 1, largest) for each in SETTINGS}
    together = _in_processes(list(ratios), largest)
    for setting in SETTINGS:
        loss, gradients = alone[setting]
        losses = torch.stack([rank[setting][0] for rank in together])
        what = f"{setting}: loss_vtc_per_rank, beside that of one rank"
        yield compare(what, losses, loss.expand(largest), DEFAULT_ATOL)
        for name, want in ratios.items():
            mean = torch.stack([rank[setting][1][name] for rank in together]).mean(dim=0)
            ratio = mean.norm() / gradients[name].norm()
            # What is ours by default is the gradient of the whole batch on any number of ranks.
            expected = want if setting == "reference" else 1.0
            yield compare(f"{setting}: gradient ratio of {name}", ratio, expected, DEFAULT_ATOL)


def _in_processes(names: list[str], world_size: int) -> list[dict[str, Answer]]:
    with tempfile.TemporaryDirectory() as folder:
        in_ranks(_rank, world_size, world_size, folder, names)
        return [torch.load(Path(folder) / f"{rank}.pt") for rank in range(world_size)]


def _rank(rank: int, world_size: int, folder: str, names: list[str]) -> None:
    answers = {each: _answer(each, names, rank, world_size, world_size) for each in SETTINGS}
    torch.save(answers, Path(folder) / f"{rank}.pt")


def _answer(setting: str, names: list[str], rank: int, ranks: int, parts: int) -> Answer:
    """This rank's share of a batch of `parts` times some pairs."""
    torch.manual_seed(0)
    tiny = PRESETS["tiny"]
    config = replace(tiny, pretraining=replace(tiny.pretraining, gathered_gradient=setting))
    model = VideoTextPretraining(config).eval()
    pairs, size = parts * PAIRS_A_RANK, config.video_encoder.image_size
    video = torch.randn(pairs, config.pretraining.frames, 3, size, size)
    ids = torch.randint(1, config.qformer.decoder_start_id, (pairs, 9))
    share = pairs // ranks
    mine = slice(rank * share, (rank + 1) * share)
    states = model.qformer.queries(model.visual(video[mine]))
    text = model.qformer.text(ids[mine], torch.ones_like(ids[mine]))[:, 0]
    loss, _ = model.contrast(states.hidden, text, torch.arange(pairs)[mine])
    loss.backward()
    parameters = dict(model.named_parameters())
    ours = {name: next(iter(from_reference({name: (1,)}))) for name in names}
    return loss.detach(), {n: _gradient(parameters[ours[n]]) for n in names}


def _gradient(parameter: Tensor) -> Tensor:
    if parameter.grad is None:
        raise ValueError("a parameter behind the contrastive loss has no gradient")
    return parameter.grad
