"""A rank that trains the same steps with the trainer and in a bare loop."""

import copy
import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

from jobs.build import model_config
from jobs.checkpoint.progress import Progress
from jobs.contract.events import EventWriter, read_events
from jobs.contract.paths import AttemptKey, RunFolder
from jobs.contract.spec import StageSpec
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
        shares: Of each of the trainer's blocks, the part of the time that waited for data.
    """

    def __init__(self, folder: Path, token: str, rank: int, world_size: int) -> None:
        self._folder, self._token = folder, token
        self._place = Place(AttemptKey(token, 0), rank, rank, world_size, ("127.0.0.1",))
        join(self._place, timeout_s=600)
        self.trained: list[Block] = []
        self.bared: list[Block] = []
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
        job = self._job(self._spec, "batches")
        self._collate = conversation_batches(job, config, TOKENS, turns_seed=self._recipe.seed)
        self._batching = self._recipe.batching(ranks)
        alone = self._recipe.model_copy(update={"workers": 0})
        place, size_px = self._place, self._image_size
        feed = Feed(alone, place, self._batching, size_px, self._collate, tell=lambda _: None)
        self._steps = [each.batches for each in feed.steps(Progress())]

    @property
    def _recipe(self) -> Any:  # noqa: ANN401 - a Train; the specification of this bench has one
        return self._spec.train

    def _job(self, spec: StageSpec, name: str) -> Job:
        run = RunFolder(self._folder / name)
        task = StageTask(run.root, spec.stage, 1, self._token)
        path = run.stage(spec.stage).events_file(self._place.attempt)
        events = EventWriter(path) if self._place.rank == 0 else None
        return Job(task, spec, run, self._place, StopFlag(), events)

    def with_trainer(self) -> None:
        """A block of the trainer's."""
        module, clock = self._copy()
        job = self._job(self._spec, f"block-{len(self.trained)}")
        train(job, module, self._collate, image_size=self._image_size)
        self.trained.append(clock.block())
        if job.events is not None:
            job.events.close()
            told = read_events(job.folder.events_file(self._place.attempt))
            last = [event for event in told if event.kind == "step"][-1]
            self.shares.append(last.fields["data_share"])

    def bare(self) -> None:
        """A block of the bare loop's."""
        module, clock = self._copy()
        engine = build_engine(module, self._recipe, self._batching, self._place.world_size)
        set_lr(engine, self._recipe.lr)
        for batches in self._steps:
            for batch in batches:
                engine.backward(engine(**batch.arguments)["loss"])
                engine.step()
        self.bared.append(clock.block())

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
