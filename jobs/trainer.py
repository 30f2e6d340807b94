"""The training loop that the stages share.

Notable: what is resumed stands in `Progress` beside the loop; the data position, the
learning rate, dropout and the augmentation are functions of it. Before each step, at an
accumulation boundary, the ranks agree once: whether to stop, whether to save, and how much of
the step could be read. Up to the first one a signal ends the process at once (`jobs.stop`).
"""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor, nn

from jobs.build import model_config
from jobs.checkpoint.standing import Wishes
from jobs.contract.spec import Train
from jobs.data.loader import Collate
from jobs.distributed import join
from jobs.engine import build_engine, set_lr
from jobs.feed import Feed
from jobs.job import Job, RefusedError
from jobs.keeper import Keeper
from jobs.optimizer import lr_multiple
from jobs.reporter import Reporter, tell_bad_clips
from jobs.stability import StepWatch
from jobs.steps import Stepper
from model.config import ModelConfig

NOTHING: Mapping[str, Tensor] = MappingProxyType({})


def begin(job: Job) -> tuple[Train, ModelConfig]:
    """Joins the ranks and seeds what they are about to build.

    Returns:
        What to train, and the model's configuration.

    Raises:
        RefusedError: The specification has no `train`, it wants a precision that this node has
            not, or the stage cannot be trained on so many ranks.
    """
    recipe = _recipe_of(job)
    _check_precision(job, recipe)
    _check_ranks(job, recipe)
    join(job.place)
    job.stop.meet()
    job.clock.mark("join")
    torch.manual_seed(recipe.seed)
    return recipe, model_config(job.spec.model, recompute=recipe.recompute)


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
    recipe, place = _recipe_of(job), job.place
    batching = recipe.batching(job.spec.full_world)
    tell = partial(tell_bad_clips, job)
    feed = Feed(recipe, place, batching, image_size, collate, tell=tell)
    job.stop.hurry_with(feed.hurry)
    job.clock.mark("data")
    reporter = Reporter(job, recipe, module)
    engine = build_engine(module, recipe, batching, place.world_size)
    job.clock.mark("engine")
    keeper = Keeper(job, engine, recipe.checkpoint, carried=carried)
    stepper = Stepper(engine, seed=recipe.seed, clip_norm=recipe.clip_norm)
    watch = StepWatch(job, recipe, feed.origins)
    progress = keeper.resume()
    reporter.started(progress, feed.schedule.total_steps, recipe.epochs)
    job.stop.stay()
    for batches in feed.steps(progress):
        began = time.monotonic()
        own = reporter.counts(batches)
        agreed = job.stop.agree(batches.readable, *own, *keeper.wishes(progress))
        readable, counts, wishes = _split(agreed.counts, len(own))
        if agreed.stop:
            reporter.finished()
            keeper.stop(progress)
        held_s = keeper.act(Wishes(*wishes), progress)
        lr = recipe.lr * lr_multiple(
            progress.step,
            warmup_steps=feed.schedule.warmup_steps,
            total_steps=feed.schedule.total_steps,
            floor=recipe.lr_floor,
        )
        set_lr(engine, lr)
        outcome = stepper.step(batches.batches, step=progress.step, readable=readable)
        progress = feed.schedule.after(progress, feed.global_batch, skipped=bool(outcome.why))
        step_s = time.monotonic() - began - held_s
        keeper.stepped(outcome, step_s + batches.waited_s)
        reporter.step(progress, outcome, lr=lr, step_s=step_s, batches=batches, counts=counts)
        watch.judge(progress, outcome, lr=lr)
    reporter.finished()
    keeper.finish(progress, final=True)


def _split(sums: Sequence[int], own: int) -> tuple[int, Sequence[int], Sequence[int]]:
    """The micro-batches that were readable, what the reporter shared, what the keeper wishes."""
    return sums[0], sums[1 : 1 + own], sums[1 + own :]


def _recipe_of(job: Job) -> Train:
    if job.spec.train is None:
        raise RefusedError(f"stage {job.spec.stage}: its specification has no `train`")
    return job.spec.train


def _check_ranks(job: Job, recipe: Train) -> None:
    ranks, full = job.place.world_size, job.spec.full_world
    if ranks > full:
        raise RefusedError(
            f"stage {job.spec.stage}: {ranks} ranks run, but its specification knows "
            f"{job.spec.nodes} nodes of {job.spec.tasks_per_node}"
        )
    if ranks < full and recipe.entry == "stage1":
        raise RefusedError(
            f"stage {job.spec.stage}: {ranks} of {full} ranks run; stage 1 contrasts the clips of "
            "all ranks with each other, so fewer ranks would train something else. Give it a "
            "fixed number of nodes"
        )


def _check_precision(job: Job, recipe: Train) -> None:
    if recipe.precision == "fp16" and not torch.cuda.is_available():
        node = job.place.host or "this node"
        raise RefusedError(
            f"stage {job.spec.stage}: precision: fp16 needs a GPU, and {node} shows none: "
            "give the stage GPUs, or set precision to auto, bf16 or fp32"
        )
