"""A rank that trains the same steps with the trainer and in a bare loop.

Notable: where a machine has no core to spare, the loader's processes slow down
what runs beside them, whatever the trainer does. So the bare loop runs twice: with nothing
beside it, and beside a process that has the same data loaded, at the same pace, for nobody.
"""

import copy
import gc
import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

from jobs.batches import ConversationBatches
from jobs.build import model_config
from jobs.checkpoint.progress import Progress
from jobs.contract.events import EventWriter, read_events
from jobs.contract.paths import AttemptKey, RunFolder
from jobs.contract.spec import StageSpec, Train
from jobs.contract.task import StageTask
from jobs.distributed import Place, join
from jobs.engine import build_engine, set_lr
from jobs.feed import Feed
from jobs.job import Job
from jobs.stage3 import conversation_batches
from jobs.stop import StopFlag
from jobs.trainer import train
from model.video_chat import VideoChat
from tests.jobs.running import TINY, Material

MICRO_BATCH, ROUNDS = 4, 2
FRAMES, TOKENS = 4, 160
FIRST_LEFT_OUT = 2
"""Steps at the start of a block: memory is taken, the loader's processes come up."""
LONG: dict[str, Any] = {
    "video_encoder": {"width": 192, "depth": 4, "blocks_built": 4, "heads": 4},
    "qformer": {"width": 128, "layers": 4, "heads": 4, "ffn_width": 512},
    "pretraining": {"frames": FRAMES, "embed_width": 64},
    "language_model": {
        "sizes": {"width": 256, "layers": 4, "heads": 4, "kv_heads": 2, "ffn_width": 1024}
    },
}
STEP, END = "step", "end"
"""What a rank tells the process that loads beside it."""
OVERRIDES = {"long": LONG, "tiny": TINY}

Block = dict[str, list[float]]
"""Of each step that counts: `wall_s`, and `cpu_s` of the rank's own process."""


@dataclass(frozen=True)
class Ratio:
    """Seconds of a step, by the trainer and bare, and how they compare.

    Attributes:
        ours_s: Mean of the steps' medians over the blocks, with the trainer.
        bare_s: The same, bare.
        lowest: Smallest ratio of a block to its neighbour.
        highest: Largest.
        steps: Steps of a block that count.
    """

    ours_s: float
    bare_s: float
    lowest: float
    highest: float
    steps: int

    @property
    def ratio(self) -> float:
        """Of the two."""
        return self.ours_s / self.bare_s


def ratio(ours: Sequence[Sequence[float]], bare: Sequence[Sequence[float]]) -> Ratio:
    """Compares blocks of the same steps; a step that something else disturbed drops out."""
    single = [sum(own) / sum(other) for own, other in zip(ours, bare, strict=True)]
    ours_s, bare_s = _mean_of_medians(ours), _mean_of_medians(bare)
    return Ratio(ours_s, bare_s, min(single), max(single), len(ours[0]))


def _mean_of_medians(blocks: Sequence[Sequence[float]]) -> float:
    steps = [median(step) for step in zip(*blocks, strict=True)]
    return sum(steps) / len(steps)


class Loops:
    """One rank.

    Args:
        folder: Where the trainer's runs go.
        token: The same on all ranks.
        rank: This one.
        world_size: How many there are.

    Attributes:
        trained: The trainer's blocks.
        bared: Those of the bare loop.
        beside: Those of the bare loop beside the loading of the same data.
        shares: Of each of the trainer's blocks, the part of the time that waited for data.
    """

    def __init__(self, folder: Path, token: str, rank: int, world_size: int) -> None:
        self._folder, self._token = folder, token
        self._place = Place(AttemptKey(token, 0), rank, rank, world_size, ("127.0.0.1",))
        join(self._place, timeout_s=600)
        self.trained: list[Block] = []
        self.bared: list[Block] = []
        self.beside: list[Block] = []
        self.shares: list[float] = []

    def build(self, size: str, clips: Path, tokenizer: Path, *, steps: int, workers: int) -> None:
        """Makes the model and the batches of the bare loop."""
        ranks = self._place.world_size
        recipe = {
            "global_batch": MICRO_BATCH * ROUNDS * ranks,
            "batch_per_gpu": MICRO_BATCH,
            "max_text_tokens": TOKENS,
            "frames": FRAMES,
            "clip_norm": 1.0,
            "epochs": 1000,
            "max_steps": steps,
            "workers": workers,
            "log_every_s": 10.0,
        }
        material = Material(clips, tokenizer)
        parts = material.train("stage3", "train_qa.json", **recipe)
        made = material.spec("s", tasks_per_node=ranks, **parts)
        model = made.model.model_copy(update={"overrides": OVERRIDES[size]})
        self._spec = made.model_copy(update={"model": model})
        config = model_config(model)
        torch.manual_seed(0)
        self._module = VideoChat(config, stage=3)
        self._image_size = config.video_encoder.image_size
        self._collate = collate_of(self._spec, self._place)
        self._batching = self._recipe.batching(ranks)
        alone = self._recipe.model_copy(update={"workers": 0})
        feed = feed_of(self._spec.model_copy(update={"train": alone}), self._place)
        self._steps = [each.batches for each in feed.steps(Progress())]
        self._loading, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=load_beside, args=(theirs, self._spec, self._place)
        )
        process.start()  # it ends with this process, when the pipe does
        theirs.close()

    @property
    def _recipe(self) -> Train:
        return recipe_of(self._spec)

    def with_trainer(self) -> None:
        """A block of the trainer's."""
        module, clock = self._copy()
        run = RunFolder(self._folder / f"block-{len(self.trained)}")
        job = job_of(self._spec, self._place, run)
        train(job, module, self._collate, image_size=self._image_size)
        self.trained.append(clock.block())
        if job.events is not None:
            job.events.close()
            told = read_events(job.folder.events_file(self._place.attempt))
            last = [event for event in told if event.kind == "step"][-1]
            self.shares.append(last.fields["data_share"])

    def bare(self) -> None:
        """A block of the bare loop's."""
        self.bared.append(self._bare(lambda: None))

    def bare_beside(self) -> None:
        """The same while the data of the steps are loaded for nobody."""
        self._loading.send(STEP)
        self._loading.recv()  # a trainer's first step, too, waits for its data
        self.beside.append(self._bare(lambda: self._loading.send(STEP)))
        self._loading.send(END)
        self._loading.recv()

    def end(self) -> None:
        """Ends the process that loads; without this it would wait for another block."""
        self._loading.close()

    def _bare(self, before_step: Callable[[], None]) -> Block:
        module, clock = self._copy()
        engine = build_engine(module, self._recipe, self._batching, self._place.world_size)
        set_lr(engine, self._recipe.lr)
        for batches in self._steps:
            before_step()
            for batch in batches:
                engine.backward(engine(**batch.arguments)["loss"])
                engine.step()
        return clock.block()

    def _copy(self) -> "tuple[nn.Module, _Clock]":
        gc.collect()  # the block before leaves its engine behind
        module = copy.deepcopy(self._module)
        return module, _Clock(module, len(self._steps[0]))


class _Clock:
    """Looks at the time before each step's first forward pass."""

    def __init__(self, module: nn.Module, rounds: int) -> None:
        self._rounds = rounds
        self._at: list[tuple[float, float]] = []
        module.register_forward_pre_hook(self._note)

    def _note(self, *_: object) -> None:
        self._at.append((time.perf_counter(), time.process_time()))

    def block(self) -> Block:
        """The steps that count; the last one's end was not seen."""
        begins = self._at[:: self._rounds][FIRST_LEFT_OUT:]
        pairs = list(pairwise(begins))
        return {
            "wall_s": [later[0] - earlier[0] for earlier, later in pairs],
            "cpu_s": [later[1] - earlier[1] for earlier, later in pairs],
        }


def load_beside(told: Connection, spec: StageSpec, place: Place) -> None:
    """Loads the micro-batches of a step each time it is told to, and throws them away.

    Args:
        told: `STEP` takes a step; `END` ends the block, after which the next `STEP` begins
            another. The first step and the end are confirmed.
        spec: The stage.
        place: Of the rank whose data they are.
    """
    torch.set_num_threads(1)
    feed = feed_of(spec, place)
    try:
        while told.recv() == STEP:
            steps = feed.steps(Progress())
            next(steps)
            told.send(STEP)
            while told.recv() == STEP:
                next(steps, None)
            del steps  # and with it the loader's processes
            told.send(END)
    except EOFError:
        return


def recipe_of(spec: StageSpec) -> Train:
    """What the stage trains; raises ValueError where it trains nothing."""
    if spec.train is None:
        raise ValueError(f"stage {spec.stage}: its specification has no `train`")
    return spec.train


def job_of(spec: StageSpec, place: Place, run: RunFolder) -> Job:
    """A rank's job, with a folder of its own to tell and save in."""
    task = StageTask(run.root, spec.stage, 1, place.attempt.slurm_id)
    path = run.stage(spec.stage).events_file(place.attempt)
    events = EventWriter(path) if place.rank == 0 else None
    return Job(task, spec, run, place, StopFlag(), events)


def collate_of(spec: StageSpec, place: Place) -> ConversationBatches:
    """How stage 3 makes the model's inputs."""
    recipe, config = recipe_of(spec), model_config(spec.model)
    task = StageTask(Path(), spec.stage, 1, place.attempt.slurm_id)
    job = Job(task, spec, RunFolder(Path()), place, StopFlag(), None)
    return conversation_batches(job, config, recipe.max_text_tokens, turns_seed=recipe.seed)


def feed_of(spec: StageSpec, place: Place) -> Feed:
    """The data of a rank."""
    recipe, size_px = recipe_of(spec), model_config(spec.model).video_encoder.image_size
    batching = recipe.batching(place.world_size)
    collate = collate_of(spec, place)
    return Feed(recipe, place, batching, size_px, collate, tell=lambda _: None)
