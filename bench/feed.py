"""What a trainer waits for its data: `python -m bench.feed`.

Makes synthetic clips, and reads them to 8 x 224 x 224 with conversations, as stage 3 does, for a
trainer whose step takes a fixed time and no processor (it sleeps, as a host does that waits for a
GPU). Beside the feed, in the same run, the way it went before: a new loader every epoch, clips as
float32, tokenised and stacked by the trainer. Tells for each, with and without workers, the share
of the time that went into waiting, the longest wait of a step, and the bytes that a worker hands
to the trainer for a clip. The first step, with the start of the workers, is told apart.

Exits 1 where the feed with two workers waits longer than 0.05 of the time, or where it needs more
than 0.3 of the bytes.
"""

import argparse
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from jobs.batches import Chat, ConversationBatches
from jobs.checkpoint.progress import Progress
from jobs.contract.paths import AttemptKey
from jobs.contract.spec import Train
from jobs.data.dataset import BadClip, ClipDataset, Sample, SampleKey
from jobs.data.loader import Batch
from jobs.data.mixing import MixedOrder
from jobs.data.synthetic import make_set
from jobs.data.tokenizer import build_tokenizer
from jobs.distributed import Place
from jobs.feed import Feed, open_sets
from model.pixels import normalised
from model.templates import TEMPLATES

WANTED_SHARE = 0.05
WANTED_BYTES = 0.3
VISUAL_TOKENS = 96

Way = Callable[[Train, ConversationBatches, int], Iterator[object]]
"""Gives the steps of a recipe for pictures of some size, each ready for the trainer."""


@dataclass(frozen=True)
class Waited:
    """What one way took.

    Attributes:
        first_s: Until the first step's data were there.
        waits_s: Of each step after it.
        step_s: Length of a step without the wait.
    """

    first_s: float
    waits_s: tuple[float, ...]
    step_s: float

    @property
    def share(self) -> float:
        """Part of the time after the first step that was waiting."""
        waited_s = sum(self.waits_s)
        return waited_s / (waited_s + len(self.waits_s) * self.step_s)


def new_way(recipe: Train, collate: ConversationBatches, size_px: int) -> Iterator[object]:
    """The feed, as the trainer uses it."""
    place = Place(AttemptKey("bench", 0), 0, 0, 1, ("127.0.0.1",))
    feed = Feed(recipe, place, recipe.batching(1), size_px, collate, tell=lambda _: None)
    return feed.steps(Progress())


def old_way(recipe: Train, collate: ConversationBatches, size_px: int) -> Iterator[object]:
    """A loader every epoch, of clips in float32; the rest is done by the trainer."""
    order, dataset = _parts(recipe, size_px)
    for epoch in range(recipe.epochs):
        keys = [
            [SampleKey(epoch, index) for index in order.batch(epoch, position)]
            for position in range(order.steps_per_epoch)
        ]
        loader: DataLoader[Any] = DataLoader(
            dataset, batch_sampler=keys, collate_fn=as_floats, num_workers=recipe.workers
        )
        for batch in loader:
            yield collate(batch)


def as_floats(found: list[Sample | BadClip]) -> Batch:
    """The samples of a batch, normalised where they were read."""
    return Batch(
        tuple(
            replace(one, video_TCHW=normalised(one.video_TCHW))
            for one in found
            if isinstance(one, Sample) and one.video_TCHW is not None
        )
    )


def _parts(recipe: Train, size_px: int) -> tuple[MixedOrder, ClipDataset]:
    sets = open_sets(recipe.data)
    order = MixedOrder.of(sets, recipe.batching(1).global_batch, recipe.seed)
    frames, seed = recipe.frames, recipe.seed
    return order, ClipDataset(sets, frames=frames, size_px=size_px, train=True, seed=seed)


def measure(steps: Iterator[object], step_s: float) -> Waited:
    """Takes all steps, and sleeps for each."""
    waits_s, began = [], time.perf_counter()
    for _ in steps:
        waits_s.append(time.perf_counter() - began)
        time.sleep(step_s)
        began = time.perf_counter()
    return Waited(waits_s[0], tuple(waits_s[1:]), step_s)


def bytes_a_clip(recipe: Train, collate: ConversationBatches, size_px: int) -> tuple[float, float]:
    """Bytes that a worker hands over for a clip: before, and by the feed."""
    order, dataset = _parts(recipe, size_px)
    read = [dataset[SampleKey(0, index)] for index in order.batch(0, 0)]
    (batch,) = next(iter(new_way(recipe, collate, size_px))).batches  # type: ignore[attr-defined]
    before, now = (len(pickle.dumps(each)) for each in (as_floats(read), batch))
    return before / len(read), now / len(read)


def compare(args: argparse.Namespace, clips: Path) -> bool:
    """Prints a line for each way and number of workers; whether all that is wanted was reached."""
    recipe = Train.model_validate(
        {
            "entry": "stage3",
            "lr": 1e-4,
            "global_batch": args.batch,
            "frames": 8,
            "epochs": args.epochs,
            "data": [{"annotations": str(clips / "train_qa.json")}],
        }
    )
    tokenizer = build_tokenizer()
    chat = Chat(tokenizer, TEMPLATES["mistral"], VISUAL_TOKENS, 512, recipe.pad_to_multiple)
    collate = ConversationBatches(chat, tokenizer, 64)
    reached = True
    ways: dict[str, Way] = {"before": old_way, "feed": new_way}
    for workers in args.workers:
        for name, way in ways.items():
            own = recipe.model_copy(update={"workers": workers})
            found = measure(way(own, collate, args.size), args.step_s)
            print(
                f"{workers} workers, {name:6}: {found.share:6.1%} of the time waited; "
                f"longest wait {max(found.waits_s):.3f} s, first step after {found.first_s:.2f} s "
                f"(n={len(found.waits_s)} steps of {args.step_s} s, {args.epochs} epochs)",
                flush=True,
            )
            reached &= (workers, name) != (2, "feed") or found.share <= WANTED_SHARE
    alone = recipe.model_copy(update={"workers": 0})
    before, now = bytes_a_clip(alone, collate, args.size)
    print(f"a clip from worker to trainer: {before:,.0f} bytes before, {now:,.0f} by the feed: "
          f"{now / before:.3f} of them")  # fmt: skip
    return reached and now / before <= WANTED_BYTES


def main() -> int:
    """Makes the clips, measures; 1 where what is wanted is not reached."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.feed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--clips", type=int, default=96)
    parser.add_argument("--size", type=int, default=224, help="side of a frame, in pixels")
    parser.add_argument("--batch", type=int, default=8, help="clips of a step")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--step-s", type=float, default=0.3, help="length of a step")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{os.cpu_count()} cores; load before: {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory(prefix="bench-feed-") as folder:
        make_set(Path(folder), train=args.clips, test=1, seed=0)
        reached = compare(args, Path(folder))
    print(
        f"load after: {os.getloadavg()[0]:.2f}; wanted: at most {WANTED_SHARE:.0%} waited with two "
        f"workers, {WANTED_BYTES} of the bytes: {'reached' if reached else 'not reached'}"
    )
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
