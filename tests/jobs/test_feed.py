"""The length of a run, where it stands, and the micro-batches of its steps."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from jobs.checkpoint.progress import Progress
from jobs.contract.paths import AttemptKey
from jobs.contract.spec import Train
from jobs.data.dataset import BadClip, Sample, SampleKey
from jobs.data.items import CaptionItem
from jobs.data.loader import Batch, Inputs
from jobs.distributed import Place
from jobs.feed import Feed, Schedule, StepBatches

FULL_WORLD = 8


def recipe(**changes) -> Train:
    """A recipe of which only the length matters."""
    usual = {"entry": "stage2", "lr": 1e-4, "global_batch": 8, "data": [{"annotations": "a.json"}]}
    return Train.model_validate(usual | changes)


def test_schedule_counts_epochs_and_lets_the_warmup_end_between_two_steps():
    assert Schedule.of(recipe(epochs=3, warmup_epochs=0.6), 7) == Schedule(7, 21, 0.6 * 7)


def test_schedule_ends_at_max_steps_where_that_is_sooner():
    assert Schedule.of(recipe(epochs=3, max_steps=10), 7).total_steps == 10
    assert Schedule.of(recipe(epochs=1, max_steps=10), 7).total_steps == 7


def test_progress_goes_over_to_the_next_epoch_after_its_last_batch():
    schedule = Schedule(steps_per_epoch=2, total_steps=4, warmup_steps=0)

    after_1 = schedule.after(Progress(), 8)
    after_2 = schedule.after(after_1, 8)

    assert (after_1, after_2) == (Progress(1, 0, 1, 8), Progress(2, 1, 0, 16))


def collate(batch: Batch) -> Inputs:
    """What tells two micro-batches apart: their clips, and the samples' indices."""
    video, index = batch.stacked(), torch.tensor([one.key.index for one in batch.samples])
    return Inputs({"index": index} | ({} if video is None else {"video": video}), len(index))


@pytest.fixture(scope="module")
def mixed(material, tmp_path_factory) -> Train:
    """48 clips and 16 conversations without one: 3 + 1 steps an epoch, of 8 ranks' 2 bites of 1."""
    texts = tmp_path_factory.mktemp("texts") / "texts.json"
    rows = [{"QA": [{"i": "", "q": f"number {n}", "a": "yes"}]} for n in range(16)]
    texts.write_text(json.dumps(rows))
    data = [
        {"annotations": str(material.clips / "train_captions.json")},
        {"annotations": str(texts)},
    ]
    return recipe(global_batch=16, batch_per_gpu=1, frames=2, epochs=2, workers=0, data=data)


def feed_of(recipe: Train, rank: int = 0, world: int = 1, full_world: int = FULL_WORLD) -> Feed:
    place = Place(AttemptKey("t", 0), rank, rank, world, ("127.0.0.1",))
    batching = recipe.batching(full_world)
    return Feed(recipe, place, batching, 8, collate, tell=lambda _: None)


def told(batch: Batch) -> tuple:
    """All of a micro-batch, to be compared."""
    keys = tuple((one.key.epoch, one.key.index) for one in batch.samples)
    video = batch.arguments.get("video")
    return keys, None if video is None else video.numpy().tobytes()


def dealt(recipe: Train, world: int, start: Progress) -> list[dict[int, tuple]]:
    """The micro-batches of each step by their numbers, over all ranks."""
    ranks = [feed_of(recipe, rank, world).steps(start) for rank in range(world)]
    steps = []
    for of_ranks in zip(*ranks, strict=True):
        own = [batch for each in of_ranks for batch in each.batches if batch.number is not None]
        steps.append({batch.number: told(batch) for batch in own})
        assert len(own) == len(steps[-1]) == 16
        assert {len(each.batches) for each in of_ranks} == {-(-16 // world)}
        assert sum(each.readable for each in of_ranks) == 16
    return steps


@pytest.fixture(scope="module")
def straight(mixed) -> list[dict[int, tuple]]:
    return dealt(mixed, FULL_WORLD, Progress())


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_ranks_of_any_number_go_through_the_same_micro_batches(mixed, straight, world):
    assert dealt(mixed, world, Progress()) == straight


def test_steps_are_of_one_kind_and_hold_each_sample_once_an_epoch(straight):
    kinds = [{video is None for _, video in step.values()} for step in straight]
    epochs = [[key for step in half for keys, _ in step.values() for key in keys]
              for half in (straight[:4], straight[4:])]  # fmt: skip

    assert sorted(map(list, kinds)) == [[False]] * 6 + [[True]] * 2
    assert [sorted(keys) for keys in epochs] == [
        [(epoch, index) for index in range(64)] for epoch in (0, 1)
    ]


@pytest.mark.parametrize("done", [1, 3, 4, 6])
@pytest.mark.parametrize(("world", "workers"), [(3, 0), (1, 2)])
def test_run_goes_on_anywhere_with_the_batches_it_would_have_had(
    mixed, straight, done, world, workers
):
    start = Progress(step=done, epoch=done // 4, batch=done % 4)
    resumed = mixed.model_copy(update={"workers": workers})

    assert dealt(resumed, world, start) == straight[done:]


def test_workers_live_over_the_end_of_an_epoch_and_through_the_stop_signal(mixed):
    steps = feed_of(mixed.model_copy(update={"workers": 2})).steps(Progress())
    next(steps)
    before = {each.pid for each in multiprocessing.active_children()}

    for pid in before:
        os.kill(pid, signal.SIGTERM)
    seen = [{sample.key.epoch for batch in next(steps).batches for sample in batch.samples}
            for _ in range(5)]  # fmt: skip

    assert seen == [{0}, {0}, {0}, {1}, {1}]
    assert len(before) == 2
    assert {each.pid for each in multiprocessing.active_children()} == before


def hanging_feed(folder: Path, **changes) -> Feed:
    """A feed all of whose clips hang when they are read."""
    clips = [folder / f"{number}.mp4" for number in range(16)]
    rows = [{"video": clip.name, "caption": "a film"} for clip in clips]
    (folder / "rows.json").write_text(json.dumps(rows))
    for clip in clips:
        clip.touch()
    data = [{"annotations": str(folder / "rows.json")}]
    feed = feed_of(recipe(frames=2, data=data, **changes), full_world=1)
    for clip in clips:
        clip.unlink()
        os.mkfifo(clip)  # nobody writes to it
    return feed


@pytest.mark.alone  # measures time
def test_feed_ends_at_once_although_its_workers_are_reading_clips_that_hang(tmp_path):
    feed = hanging_feed(tmp_path, global_batch=1, workers=2, read_timeout_s=2)
    steps = feed.steps(Progress())
    (first,) = next(steps).batches  # so both workers are at their next clips
    began = time.monotonic()

    del steps

    assert [bad.error_class for bad in first.bad] == ["Timeout"]
    assert time.monotonic() - began < 1
    assert multiprocessing.active_children() == []


def test_run_of_fewer_steps_than_an_epoch_loads_no_more(mixed):
    steps = feed_of(mixed.model_copy(update={"max_steps": 2})).steps(Progress())

    assert [step.readable for step in steps] == [16, 16]


def test_step_tells_what_it_holds():
    item = CaptionItem("video", "a.mp4", "a")
    good = Sample(None, item, SampleKey(0, 1), "one")
    bad = BadClip("two", "b.mp4", "OSError", "no film", SampleKey(0, 2))

    step = StepBatches(
        (
            Batch((good, good), (bad,), 0, clips=2, tokens=9),
            Batch((), (bad,), 2),
            Batch((), (), None),
        ),
        0.5,
    )

    assert (step.readable, step.clips, step.tokens, step.waited_s) == (1, 2, 9, 0.5)
    assert (step.bad, step.seen) == ((bad, bad), {"one": 2, "two": 2})


FORKED = """
import sys
import torch
from jobs.batches import PairBatches
from jobs.contract.batching import Batching
from jobs.data.annotations import open_set
from jobs.data.dataset import ClipDataset
from jobs.data.loader import training_loader
from jobs.data.mixing import MixedOrder
from jobs.data.sampler import Dealing, Position
from jobs.data.tokenizer import build_tokenizer
from pathlib import Path

clips = Path(sys.argv[1])
tokenizer = build_tokenizer()
tokenizer(["a red bar moves"] * 500)  # with its threads
sets = [open_set(clips / "train_pairs.json", clips)]
dataset = ClipDataset(sets, frames=2, size_px=8, train=True)
loader = training_loader(
    dataset, MixedOrder.of(sets, 8, 0), Dealing(Batching(8, 8, 1), 0, 1),
    PairBatches(tokenizer, 32), Position(0, 0), steps=3, num_workers=2,
)
print([batch.tokens > 40 for batch in loader])
"""


def test_workers_do_not_wait_for_threads_that_a_tokenizer_had_before_they_were_forked(material):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORKED, str(material.clips)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "RAYON_NUM_THREADS": "4", "TOKENIZERS_PARALLELISM": "true"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("[True, True, True]\n", "")


@pytest.mark.alone  # measures time
@pytest.mark.parametrize("workers", [0, 2])
def test_feed_that_hurries_waits_for_no_clip_that_hangs(tmp_path, workers):
    feed = hanging_feed(tmp_path, global_batch=4, workers=workers, read_timeout_s=60)
    steps = feed.steps(Progress())

    began = time.monotonic()
    threading.Timer(1, feed.hurry).start()
    step = next(steps)
    took_s = time.monotonic() - began

    assert step.readable == 0
    assert {bad.error_class for bad in step.bad} == {"Over"}
    assert 0.9 < took_s < 10
