"""AdamW's parameter groups and the learning-rate schedule."""

import math
from collections.abc import Collection, Iterable
from typing import Any

import torch
from torch import nn

from jobs.contract.spec import Entry, Train

BETAS = (0.9, 0.999)

UNDECAYED: dict[Entry, tuple[str, ...]] = {
    "stage1": ("temperature", "frame_embedding", "qformer.query_tokens")
}
"""What a stage keeps from decaying by name. The reference asks for the same, but under DDP, where
its names begin with "module.", it does not get it, and decays even the temperature."""


def parameter_groups(
    parameters: Iterable[tuple[str, nn.Parameter]],
    weight_decay: float,
    undecayed: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Trainable parameters in two groups: decayed, and not.

    Not decayed are 1-D ones, biases, and those that `undecayed` names.
    Source: `create_optimizer` in the reference's `utils/optimizer.py`.
    """
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for name, parameter in parameters:
        if parameter.requires_grad:
            is_plain = parameter.ndim == 1 or name.endswith(".bias") or name in undecayed
            (plain if is_plain else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def build_optimizer(module: nn.Module, recipe: Train) -> torch.optim.AdamW:
    """Torch's own AdamW: DeepSpeed's would be compiled at the first start.

    Fused: one pass over each tensor. On a CPU it takes a third to an eighth of the time of torch's
    other two forms (`python -m bench.compile`), on a GPU one kernel for all tensors.
    """
    return torch.optim.AdamW(
        parameter_groups(
            module.named_parameters(), recipe.weight_decay, UNDECAYED.get(recipe.entry, ())
        ),
        lr=recipe.lr,
        betas=BETAS,
        fused=True,
    )


def lr_multiple(step: int, *, warmup_steps: float, total_steps: int, floor: float) -> float:
    """Multiple of the peak learning rate at `step`: linear rise, then half a cosine.

    Source: `create_scheduler` in the reference's `utils/scheduler.py`.
    """
    if step < warmup_steps:
        return max(floor, step / max(1, warmup_steps))
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return max(floor, 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress))))
