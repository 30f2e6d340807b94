"""The training loop that the stages share.

Notable: what is resumed stands in `Progress` beside the loop; the data position, the
learning rate and the augmentation are functions of it. The ranks look at the stop flag
before each step, at an accumulation boundary, so that all save the same step. Up to the first
one a signal ends the process at once (`jobs.stop`).
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import deepspeed
import torch
from torch import Tensor, nn

from jobs.build import model_config
from jobs.contract.spec import Train
from jobs.data.loader import Batch
from jobs.distributed import join
from jobs.feed import Feed, Schedule
from jobs.job import Job, RefusedError, StoppedError
from jobs.keeper import Keeper
from jobs.optimizer import build_optimizer, lr_multiple
from jobs.reporter import Reporter
from model.config import ModelConfig

Collate = Callable[[Batch], Mapping[str, Any]]
"""Turns decoded samples into the keyword arguments of the module's forward pass."""

NOTHING: Mapping[str, Tensor] = MappingProxyType({})

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def begin(job: Job) -> tuple[Train, ModelConfig]:
    """Joins the ranks and seeds what they are about to build.

    Returns:
        What to train, and the model's configuration.

    Raises:
        RefusedError: The specification has no `train`.
    """
    recipe = _recipe_of(job)
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
    return {
        "train_micro_batch_size_per_gpu": micro,
        "gradient_accumulation_steps": accumulation,
        "gradient_clipping": recipe.clip_norm or 0.0,
        "zero_optimization": {"stage": recipe.zero_stage},
        "bf16": {"enabled": precision == "bf16"},
        "fp16": {"enabled": precision == "fp16"},
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
        RefusedError: A newer attempt took over, the loss is no number any more, or there is
            no resuming from the checkpoints.
    """
    recipe = _recipe_of(job)
    feed = Feed(recipe, job.place, image_size)
    torch.manual_seed(recipe.seed + job.place.rank)
    engine = _engine(module, recipe, job.place.world_size)
    keeper = Keeper(job, engine, keep=recipe.checkpoint.keep, carried=carried)
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
        loss = _step(engine, batches, collate)
        progress = feed.schedule.after(progress, feed.global_batch)
        check_loss(loss, progress.step, recipe.precision)
        reporter.step(progress, loss, lr=lr, step_s=time.monotonic() - began, batches=batches)
        is_last = progress.step == feed.schedule.total_steps  # saved as the final one
        if progress.step % recipe.checkpoint.every_steps == 0 and not is_last:
            keeper.save(progress)
    reporter.finished()
    keeper.save(progress, final=True)


def check_loss(loss: float, step: int, precision: str) -> None:
    """Refuses to train on, and to save, what a loss that is no number has spoilt.

    In fp16 such a step is skipped: DeepSpeed lowers its loss scale, and raises at the lowest.

    Raises:
        RefusedError: The loss is infinite or not a number.
    """
    if not math.isfinite(loss) and precision != "fp16":
        raise RefusedError(
            f"the loss of step {step} is {loss}; nothing is saved after it: "
            "lower lr, clip (clip_norm), or use precision bf16 or fp32"
        )


def _recipe_of(job: Job) -> Train:
    if job.spec.train is None:
        raise RefusedError(f"stage {job.spec.stage}: its specification has no `train`")
    return job.spec.train


def _engine(module: nn.Module, recipe: Train, world_size: int) -> Any:  # noqa: ANN401 - DeepSpeed is untyped
    engine, *_ = deepspeed.initialize(
        model=module,
        optimizer=build_optimizer(module, recipe),
        config=deepspeed_config(recipe, world_size),
        dist_init_required=False,
    )
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


def _step(engine: Any, batches: Iterable[Batch], collate: Collate) -> float:  # noqa: ANN401
    """One optimizer step over the micro-batches; gives this rank's mean loss."""
    losses = []
    for batch in batches:
        inputs = {name: value.to(engine.device) for name, value in collate(batch).items()}
        loss = engine(**inputs)["loss"]
        engine.backward(loss)
        engine.step()
        losses.append(loss.detach())
    return float(torch.stack(losses).mean())
