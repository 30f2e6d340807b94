"""The training loop that the stages share.

Notable: what is resumed stands in `Progress` beside the loop; the data position, the
learning rate and the augmentation are functions of it. The ranks look at the stop flag
before each step, at an accumulation boundary, so that all save the same step. Up to the first
one a signal ends the process at once (`jobs.stop`).
"""

import time
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import deepspeed
import torch
from torch import Tensor, nn

from jobs.build import model_config
from jobs.contract.spec import Train
from jobs.distributed import join
from jobs.feed import Feed, Schedule
from jobs.job import Job, RefusedError, StoppedError
from jobs.keeper import Keeper
from jobs.optimizer import build_optimizer, lr_multiple
from jobs.reporter import Reporter, tell_bad_clips
from jobs.stability import LOWEST_LOSS_SCALE, StepWatch
from jobs.steps import Collate, Stepper
from model.config import ModelConfig

NOTHING: Mapping[str, Tensor] = MappingProxyType({})

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def begin(job: Job) -> tuple[Train, ModelConfig]:
    """Joins the ranks and seeds what they are about to build.

    Returns:
        What to train, and the model's configuration.

    Raises:
        RefusedError: The specification has no `train`, or a precision that this node has not.
    """
    recipe = _recipe_of(job)
    _check_precision(job, recipe)
    join(job.place)
    torch.manual_seed(recipe.seed)
    return recipe, model_config(job.spec.model, recompute=recipe.recompute)


def precision_of(choice: str) -> str:
    """Resolves `auto`: bf16 on a GPU; fp32 on a CPU, where bf16 is many times slower."""
    if choice != "auto":
        return choice
    return "bf16" if torch.cuda.is_available() else "fp32"


def language_model_dtype(precision: str) -> torch.dtype:
    """Type of the frozen language model's weights."""
    return DTYPES[precision_of(precision)]


def deepspeed_config(recipe: Train, world_size: int) -> dict[str, Any]:
    """DeepSpeed's configuration for a recipe on `world_size` ranks."""
    micro, accumulation = recipe.batch_shares(world_size)
    precision = precision_of(recipe.precision)
    is_plain = recipe.zero_stage == 0 and precision == "fp32"
    return {
        "train_micro_batch_size_per_gpu": micro,
        "gradient_accumulation_steps": accumulation,
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


def train(
    job: Job,
    module: nn.Module,
    collate: Collate,
    *,
    image_size: int,
    carried: Mapping[str, Tensor] = NOTHING,
) -> None:
    """Trains `module` as the job's specification says, from its newest checkpoint on.

    Args:
        job: This rank's view of the attempt.
        module: Its forward pass gives a mapping with the scalar `loss`.
        collate: Makes its arguments.
        image_size: Height and width of a frame, in pixels.
        carried: Weights that the module has no place for, kept for a later stage.

    Raises:
        StoppedError: Stopped on a signal; all is saved.
        RefusedError: A newer attempt took over, too many steps in a row were skipped, or there
            is no resuming from the checkpoints.
    """
    recipe = _recipe_of(job)
    feed = Feed(recipe, job.place, image_size, tell=partial(tell_bad_clips, job))
    torch.manual_seed(recipe.seed + job.place.rank)
    engine = build_engine(module, recipe, job.place.world_size)
    keeper = Keeper(job, engine, keep=recipe.checkpoint.keep, carried=carried)
    stepper = Stepper(engine, collate, feed.origins.blank, clip_norm=recipe.clip_norm)
    watch = StepWatch(job, recipe, feed.origins)
    progress = keeper.resume()
    reporter = Reporter(job, recipe.log_every_s)
    reporter.started(progress, feed.schedule.total_steps, recipe.epochs)
    job.stop.stay()
    for batches in feed.steps(progress):
        if job.stop.agreed():
            reporter.finished()
            keeper.save(progress)
            raise StoppedError(progress.step)
        began = time.monotonic()
        lr = _set_lr(engine, recipe, feed.schedule, progress.step)
        outcome = stepper.step(batches)
        progress = feed.schedule.after(progress, feed.global_batch, skipped=bool(outcome.why))
        reporter.step(progress, outcome, lr=lr, step_s=time.monotonic() - began, batches=batches)
        watch.judge(progress, outcome, lr=lr)
        is_last = progress.step == feed.schedule.total_steps  # saved as the final one
        if progress.step % recipe.checkpoint.every_steps == 0 and not is_last:
            keeper.save(progress)
    reporter.finished()
    keeper.save(progress, final=True)


def _recipe_of(job: Job) -> Train:
    if job.spec.train is None:
        raise RefusedError(f"stage {job.spec.stage}: its specification has no `train`")
    return job.spec.train


def _check_precision(job: Job, recipe: Train) -> None:
    if recipe.precision == "fp16" and not torch.cuda.is_available():
        node = job.place.host or "this node"
        raise RefusedError(
            f"stage {job.spec.stage}: precision: fp16 needs a GPU, and {node} shows none: "
            "give the stage GPUs, or set precision to auto, bf16 or fp32"
        )


def build_engine(module: nn.Module, recipe: Train, world_size: int) -> Any:  # noqa: ANN401 - DeepSpeed is untyped
    """DeepSpeed's engine, with no step made yet and a learning rate of 0; all ranks call it."""
    optimizer = build_optimizer(module, recipe)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    engine, *_ = deepspeed.initialize(
        model=module,
        optimizer=optimizer,
        config=deepspeed_config(recipe, world_size),
        dist_init_required=False,
    )
    # In ZeRO stage 0 with bf16 or fp16 DeepSpeed makes a step without gradients to take its
    # memory. It would count: Adam's first real step was 0.74 of what it should be.
    if recipe.zero_stage == 0:
        optimizer.state.clear()
    return engine


def _set_lr(engine: Any, recipe: Train, schedule: Schedule, step: int) -> float:  # noqa: ANN401
    multiple = lr_multiple(
        step,
        warmup_steps=schedule.warmup_steps,
        total_steps=schedule.total_steps,
        floor=recipe.lr_floor,
    )
    for group in engine.optimizer.param_groups:
        group["lr"] = recipe.lr * multiple
    return recipe.lr * multiple
