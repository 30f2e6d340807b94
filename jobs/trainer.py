"""The training loop that the stages share.

Notable: what is resumed stands in `Progress` beside the loop; the data position, the
learning rate and the augmentation are functions of it. The ranks look at the stop flag
before each step, at an accumulation boundary, so that all save the same step.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from types import MappingProxyType
from typing import Any

import deepspeed
import torch
import torch.distributed as dist
from torch import Tensor, nn

from jobs import checkpoint
from jobs.checkpoint import Progress
from jobs.contract.spec import DataSet, Train
from jobs.data.annotations import open_set
from jobs.data.dataset import ClipDataset
from jobs.data.items import MediaSet
from jobs.data.loader import BadClips, Batch, make_loader
from jobs.data.mixing import MixedOrder
from jobs.data.sampler import Position, RankShare
from jobs.optimizer import build_optimizer, lr_multiple
from jobs.reporter import Reporter
from jobs.task import Job, RefusedError, StoppedError

Collate = Callable[[Batch], Mapping[str, Any]]
"""Turns decoded samples into the keyword arguments of the module's forward pass."""


NOTHING: Mapping[str, Tensor] = MappingProxyType({})


@dataclass(frozen=True)
class Schedule:
    """The length of a training run in optimizer steps."""

    steps_per_epoch: int
    total_steps: int
    warmup_steps: int

    @classmethod
    def of(cls, recipe: Train, steps_per_epoch: int) -> "Schedule":
        """The schedule of a recipe on data with `steps_per_epoch` steps."""
        total = recipe.epochs * steps_per_epoch
        return cls(
            steps_per_epoch,
            min(total, recipe.max_steps or total),
            int(recipe.warmup_epochs * steps_per_epoch),
        )

    def after(self, progress: Progress, samples: int) -> Progress:
        """Where a run stands one step, of `samples` samples, after `progress`."""
        epoch, batch = progress.epoch, progress.batch + 1
        if batch == self.steps_per_epoch:
            epoch, batch = epoch + 1, 0
        return Progress(progress.step + 1, epoch, batch, progress.samples_seen + samples)


def precision_of(choice: str) -> str:
    """Resolves `auto`: bf16 on a GPU; fp32 on a CPU, where bf16 is many times slower."""
    if choice != "auto":
        return choice
    return "bf16" if torch.cuda.is_available() else "fp32"


def language_model_dtype(precision: str) -> torch.dtype:
    """Type of the frozen language model's weights."""
    return torch.float32 if precision_of(precision) == "fp32" else torch.bfloat16


def open_sets(data: tuple[DataSet, ...]) -> list[MediaSet]:
    """Opens the annotation files of a recipe; raises BadAnnotations with all faults."""
    return [
        open_set(
            each.annotations,
            each.media or each.annotations.parent,
            directional=each.directional,
        )
        for each in data
    ]


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
        RefusedError: A newer submission took over.
    """
    recipe = recipe_of(job)
    world_size = job.place.world_size
    micro, accumulation = recipe.batch_shares(world_size)
    sets = open_sets(recipe.data)
    order = MixedOrder.of(sets, micro * accumulation * world_size, recipe.seed)
    schedule = Schedule.of(recipe, order.steps_per_epoch)
    dataset = ClipDataset(
        sets, frames=recipe.frames, size_px=image_size, train=True, seed=recipe.seed
    )
    torch.manual_seed(recipe.seed + job.place.rank)
    engine = _engine(module, recipe, world_size)
    keeper = _Keeper(job, engine, recipe, carried)
    progress = keeper.resume()
    reporter = Reporter(job, recipe.log_every_s)
    reporter.started(progress, schedule.total_steps, recipe.epochs)
    loader = partial(
        make_loader,
        dataset,
        order,
        RankShare(job.place.rank, world_size, micro),
        num_workers=recipe.workers,
        bad_clips=BadClips(max_fraction=recipe.max_bad),
    )
    while progress.step < schedule.total_steps:
        batches = iter(loader(Position(progress.epoch, progress.batch)))
        epoch = progress.epoch
        while progress.epoch == epoch and progress.step < schedule.total_steps:
            if job.stop.agreed():
                reporter.finished()
                keeper.save(progress)
                raise StoppedError(progress.step)
            began = time.monotonic()
            waited = _Waited(islice(batches, accumulation))
            lr = _set_lr(engine, recipe, schedule, progress.step)
            loss = _step(engine, waited, collate)
            progress = schedule.after(progress, order.global_batch)
            reporter.step(
                progress, loss, lr=lr, step_s=time.monotonic() - began, data_s=waited.seconds
            )
            if progress.step % recipe.checkpoint.every_steps == 0:
                keeper.save(progress)
    reporter.finished()
    keeper.save(progress, final=True)


def recipe_of(job: Job) -> Train:
    """What the job is to train; raises RefusedError where its specification has none."""
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


def _step(engine: Any, batches: Iterator[Batch], collate: Collate) -> float:  # noqa: ANN401
    """One optimizer step over the micro-batches; gives this rank's mean loss."""
    losses = []
    for batch in batches:
        inputs = {name: value.to(engine.device) for name, value in collate(batch).items()}
        loss = engine(**inputs)["loss"]
        engine.backward(loss)
        engine.step()
        losses.append(loss.detach())
    return float(torch.stack(losses).mean())


class _Waited:
    """Passes batches on and counts the seconds that were spent waiting for them."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        began = time.monotonic()
        batch = next(self._batches)
        self.seconds += time.monotonic() - began
        return batch


class _Keeper:
    """Saves and resumes this job's state; a zombie saves nothing."""

    def __init__(
        self,
        job: Job,
        engine: Any,  # noqa: ANN401
        recipe: Train,
        carried: Mapping[str, Tensor],
    ) -> None:
        self._job, self._engine, self._carried = job, engine, carried
        self._keep = recipe.checkpoint.keep
        self._parent: str | None = None
        self._saved_step: int | None = None

    def resume(self) -> Progress:
        found = checkpoint.find_resume_point(self._job.folder)
        if found is None:
            return Progress()
        self._parent, self._saved_step = str(found[0]), found[1].step
        return checkpoint.load(self._engine, found[0])

    def save(self, progress: Progress, *, final: bool = False) -> None:
        if progress.step == self._saved_step and not final:
            return
        if _on_rank_0(self._job.is_fenced_off):
            raise RefusedError(
                f"a newer submission took over before step {progress.step} was saved"
            )
        path, manifest = checkpoint.save(
            self._engine,
            self._job.folder,
            progress,
            carried=self._carried,
            final=final,
            parent=self._parent,
            code_sha=self._job.spec.code_sha,
        )
        self._parent, self._saved_step = str(path), progress.step
        self._job.tell(
            "checkpoint",
            step=progress.step,
            path=str(path),
            bytes=manifest.bytes,
            save_s=manifest.save_s,
            final=final,
        )
        if self._job.place.rank == 0:
            checkpoint.prune(self._job.folder, self._keep)


def _on_rank_0(question: Callable[[], bool]) -> bool:
    """Rank 0's answer, on all ranks."""
    answer: list[Any] = [question() if dist.get_rank() == 0 else None]
    dist.broadcast_object_list(answer, src=0)
    return bool(answer[0])
