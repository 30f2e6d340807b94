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
from jobs.contract.batching import Batching
from jobs.contract.spec import DataSet, Train
from jobs.data.annotations import open_set
from jobs.data.dataset import BadClip, ClipDataset
from jobs.data.items import MediaSet
from jobs.data.loader import Batch, Collate, training_loader
from jobs.data.mixing import MixedOrder
from jobs.data.sampler import Dealing, Position
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


@dataclass(frozen=True)
class StepBatches:
    """The micro-batches of one step on one rank, loaded.

    Attributes:
        batches: As many on every rank; one without samples has weight 0.
        waited_s: Seconds spent waiting for them.
    """

    batches: tuple[Batch, ...]
    waited_s: float = 0.0

    @property
    def readable(self) -> int:
        """Micro-batches with samples."""
        return sum(1 for batch in self.batches if batch.samples)

    @property
    def bad(self) -> tuple[BadClip, ...]:
        """Clips that could not be read; they were left out."""
        return tuple(clip for batch in self.batches for clip in batch.bad)

    @property
    def seen(self) -> Counter[str]:
        """Samples asked for, by set."""
        readable = (each.set_name for batch in self.batches for each in batch.samples)
        return Counter(readable) + Counter(each.set_name for each in self.bad)

    @property
    def clips(self) -> int:
        """Pictures and clips that are trained on."""
        return sum(batch.clips for batch in self.batches)

    @property
    def tokens(self) -> int:
        """Tokens of text that are trained on, as the model reads them, without padding."""
        return sum(batch.tokens for batch in self.batches)


class Feed:
    """What one rank trains on.

    Args:
        recipe: Says which data, and in what order.
        place: Of this rank.
        batching: How the samples of a step are cut.
        image_size: Height and width of a frame, in pixels.
        collate: Makes the model's inputs, in the loader's processes.
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
        batching: Batching,
        image_size: int,
        collate: Collate,
        *,
        tell: Callable[[Sequence[BadClip]], None],
    ) -> None:
        self._hurries = False
        sets = open_sets(recipe.data)
        order = MixedOrder.of(sets, batching.global_batch, recipe.seed)
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
        self._over = dataset.over
        self.origins = Origins(dataset)
        self._rounds = batching.rounds(place.world_size)
        self._loader = partial(
            training_loader,
            dataset,
            order,
            Dealing(batching, place.rank, place.world_size),
            collate,
            num_workers=recipe.workers,
        )
        sizes = Counter[str]()
        for each in sets:
            sizes[each.name] += len(each.items)
        self._bad_clips = BadClips(recipe.max_bad, sizes, rank=place.rank, tell=tell)
        self._shared_every = 1 if place.world_size == 1 else SHARED_EVERY_STEPS

    def steps(self, start: Progress) -> Iterator[StepBatches]:
        """The micro-batches of each step, from `start` to the end of the run.

        Those of the next step are loaded while one is made, over the ends of epochs too.

        Raises:
            TooManyBadClipsError: More clips of a set are unreadable than the recipe allows.
        """
        self._over.put(up=self._hurries)
        left = self.schedule.total_steps - start.step
        batches = iter(self._loader(Position(start.epoch, start.batch), steps=left))
        try:
            for step in range(start.step + 1, self.schedule.total_steps + 1):
                began = time.monotonic()
                own = tuple(islice(batches, self._rounds))
                of_step = StepBatches(own, time.monotonic() - began)
                yield of_step
                self._bad_clips.add(of_step.seen, of_step.bad)
                if step == self.schedule.total_steps or step % self._shared_every == 0:
                    self._bad_clips.share()
        finally:
            # Torch waits for its processes: for a clip that hangs, longer than there is to stop.
            self._over.put(up=True)

    def hurry(self) -> None:
        """Waits for no clip any more: what is not read counts as unreadable from now on.

        For a rank that was told to stop. It takes part in one more agreement, by which no rank
        trains on what comes now.
        """
        self._hurries = True
        self._over.put(up=True)


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
