"""DeepSpeed's engine for a recipe."""

from typing import Any

import deepspeed
import torch
from torch import nn

from jobs.compiling import compile_encoder
from jobs.contract.batching import Batching
from jobs.contract.spec import Train
from jobs.optimizer import build_optimizer
from jobs.stability import LOWEST_LOSS_SCALE
from jobs.startup import import_without_inductor

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def precision_of(choice: str) -> str:
    """Resolves `auto`: bf16 on a GPU; fp32 on a CPU, where bf16 is many times slower."""
    if choice != "auto":
        return choice
    return "bf16" if torch.cuda.is_available() else "fp32"


def language_model_dtype(precision: str) -> torch.dtype:
    """Type of the frozen language model's weights."""
    return DTYPES[precision_of(precision)]


def deepspeed_config(recipe: Train, batching: Batching, world_size: int) -> dict[str, Any]:
    """DeepSpeed's configuration for a recipe on `world_size` ranks."""
    precision = precision_of(recipe.precision)
    is_plain = recipe.zero_stage == 0 and precision == "fp32"
    return {
        "train_micro_batch_size_per_gpu": batching.micro_batch,
        "gradient_accumulation_steps": batching.rounds(world_size),
        # Without ZeRO and in fp32 nobody of DeepSpeed's looks at the gradient: `Stepper` does.
        "gradient_clipping": 0.0 if is_plain else recipe.clip_norm or 0.0,
        "zero_optimization": {"stage": recipe.zero_stage},
        "bf16": {"enabled": precision == "bf16"},
        "fp16": {
            "enabled": precision == "fp16",
            "initial_scale_power": recipe.loss_scaling.initial_power,
            "loss_scale_window": recipe.loss_scaling.window_steps,
            "hysteresis": 1,  # the first overflow halves the scale, as torch's GradScaler does
            "min_loss_scale": int(LOWEST_LOSS_SCALE),
        },
        # Our AdamW is torch's own; DeepSpeed's would be compiled at the first start.
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 1_000_000_000,
    }


def build_engine(module: nn.Module, recipe: Train, batching: Batching, world_size: int) -> Any:  # noqa: ANN401 - DeepSpeed is untyped
    """DeepSpeed's engine, with no step made yet and a learning rate of 0; all ranks call it.

    Raises:
        RefusedError: The recipe wants the video encoder compiled, and it cannot be.
    """
    compile_encoder(module, recipe)
    import_without_inductor("deepspeed.runtime.zero.muon.original_muon")
    optimizer = build_optimizer(module, recipe)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    engine, *_ = deepspeed.initialize(
        model=module,
        optimizer=optimizer,
        config=deepspeed_config(recipe, batching, world_size),
        dist_init_required=False,
    )
    # In ZeRO stage 0 with bf16 or fp16 DeepSpeed makes a step without gradients to take its
    # memory. It would count: Adam's first real step was 0.74 of what it should be.
    if recipe.zero_stage == 0:
        optimizer.state.clear()
    return engine


def set_lr(engine: Any, lr: float) -> None:  # noqa: ANN401
    """Sets the learning rate of the next step, in all groups."""
    for group in engine.optimizer.param_groups:
        group["lr"] = lr
