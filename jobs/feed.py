"""The data of a training run, cut into optimizer steps.

Notable: it holds no position. What comes next follows from a `Progress` alone, so a run
resumes in the middle of an epoch with the very batches that it would have had.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

from jobs.bad_clips import SHARED_EVERY_STEPS, BadClips
from jobs.checkpoint.progress import Progress
from jobs.contract.spec import DataSet, Train
from jobs.data.annotations import open_set
from jobs.data.dataset import BadClip, ClipDataset
from jobs.data.items import MediaSet
from jobs.data.loader import Batch, make_loader
from jobs.data.mixing import MixedOrder
from jobs.data.sampler import Position, RankShare
from jobs.distributed import Place
from jobs.origins import Origins


@dataclass(frozen=True)
class Schedule:
    """The length of a training run in optimizer steps; the warm-up may end between two."""

    steps_per_epoch: int
    total_steps: int
    warmup_steps: float

    @classmethod
    def of(cls, recipe: Train, steps_per_epoch: int) -> "Schedule":
        """The schedule of a recipe on data with `steps_per_epoch` steps."""
        total = recipe.epochs * steps_per_epoch
        return cls(
            steps_per_epoch,
            min(total, recipe.max_steps or total),
            recipe.warmup_epochs * steps_per_epoch,
        )

    def after(self, progress: Progress, samples: int, *, skipped: bool = False) -> Progress:
        """Where a run stands one step, of `samples` samples, after `progress`.

        A step that was skipped is a step: its data are not taken again, and the learning rate
        stays a function of the step.
        """
        epoch, batch = progress.epoch, progress.batch + 1
        if batch == self.steps_per_epoch:
            epoch, batch = epoch + 1, 0
        return Progress(
            progress.step + 1,
            epoch,
            batch,
            progress.samples_seen + samples,
            skipped=progress.skipped + skipped,
            skipped_in_a_row=progress.skipped_in_a_row + 1 if skipped else 0,
        )


class MicroBatches:
    """The micro-batches of one step.

    Attributes:
        waited_s: Seconds spent waiting for them.
        bad: Clips of them that could not be read; they were left out.
        seen: Samples asked for, by set.
    """

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self.waited_s = 0.0
        self.bad: list[BadClip] = []
        self.seen: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        began = time.monotonic()
        batch = next(self._batches)
        self.waited_s += time.monotonic() - began
        self.bad += batch.bad
        self.seen.update(each.set_name for each in batch.samples)
        self.seen.update(each.set_name for each in batch.bad)
        return batch


class Feed:
    """What one rank trains on.

    Args:
        recipe: Says which data, in what order and in what batches.
        place: Of this rank.
        image_size: Height and width of a frame, in pixels.
        tell: Is told of clips that could not be read.

    Attributes:
        global_batch: Samples per optimizer step, over all ranks.
        schedule: How many steps there are.
        origins: The rows behind its samples.
    """

    def __init__(
        self,
        recipe: Train,
        place: Place,
        image_size: int,
        *,
        tell: Callable[[Sequence[BadClip]], None],
    ) -> None:
        micro, self._accumulation = recipe.batch_shares(place.world_size)
        sets = open_sets(recipe.data)
        order = MixedOrder.of(sets, micro * self._accumulation * place.world_size, recipe.seed)
        self.global_batch = order.global_batch
        self.schedule = Schedule.of(recipe, order.steps_per_epoch)
        dataset = ClipDataset(
            sets,
            frames=recipe.frames,
            size_px=image_size,
            train=True,
            sample=recipe.sample,
            seed=recipe.seed,
            min_scale=recipe.crop_min_scale,
            max_tiles=recipe.tiles,
            read_timeout_s=recipe.read_timeout_s,
        )
        self.origins = Origins(dataset)
        self._loader = partial(
            make_loader,
            dataset,
            order,
            RankShare(place.rank, place.world_size, micro),
            num_workers=recipe.workers,
        )
        sizes = Counter[str]()
        for each in sets:
            sizes[each.name] += len(each.items)
        self._bad_clips = BadClips(recipe.max_bad, sizes, rank=place.rank, tell=tell)
        self._shared_every = 1 if place.world_size == 1 else SHARED_EVERY_STEPS

    def steps(self, start: Progress) -> Iterator[MicroBatches]:
        """The micro-batches of each step, from `start` to the end of the run.

        Raises:
            TooManyBadClipsError: More clips of a set are unreadable than the recipe allows.
        """
        step, epoch, used = start.step, start.epoch, start.batch
        while step < self.schedule.total_steps:
            batches = iter(self._loader(Position(epoch, used)))
            for _ in range(used, self.schedule.steps_per_epoch):
                of_step = MicroBatches(islice(batches, self._accumulation))
                yield of_step
                step += 1
                is_last = step == self.schedule.total_steps
                self._bad_clips.add(of_step.seen, of_step.bad)
                if is_last or step % self._shared_every == 0:
                    self._bad_clips.share()
                if is_last:
                    return
            epoch, used = epoch + 1, 0


def open_sets(data: tuple[DataSet, ...]) -> list[MediaSet]:
    """Opens the annotation files of a recipe; raises AnnotationsError with all faults."""
    return [
        open_set(
            each.annotations,
            each.media or each.annotations.parent,
            name=name,
            directional=each.directional,
            kind=each.kind,
            fps=each.fps,
        )
        for name, each in zip(DataSet.names(data), data, strict=True)
    ]
