import pickle

import pytest
import torch
from torch.distributed import default_pg_timeout

from jobs.contract.batching import Batching
from jobs.data.annotations import open_set
from jobs.data.dataset import ClipDataset
from jobs.data.items import CaptionItem, ConversationItem, MediaSet, Turn
from jobs.data.loader import Inputs, evaluation_loader, together, training_loader
from jobs.data.mixing import MixedOrder
from jobs.data.sampler import Dealing, GlobalOrder, Position, RankShare


@pytest.fixture
def dataset(made_set):
    captions = open_set(made_set.root / "train_captions.json", made_set.root)
    return ClipDataset([captions], frames=2, size_px=16, train=True, seed=1)


@pytest.fixture
def half_broken(made_set, tmp_path):
    """60 items, every second of which has a file that is no video."""
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    good = (made_set.root / "clips" / "train-00000.mp4").read_bytes()
    (tmp_path / "good.mp4").write_bytes(good)
    names = ("broken", "good") * 30
    items = tuple(CaptionItem("video", f"{name}.mp4", name) for name in names)
    own = MediaSet("some", "video", items, tmp_path)
    return ClipDataset([own], frames=2, size_px=8, train=True)


def collate(batch):
    """Clips, and the first sample's index as text would be."""
    video, index = batch.stacked(), torch.tensor([one.key.index for one in batch.samples])
    return Inputs({"index": index} | ({} if video is None else {"video": video}), 7 * len(index))


def load(dataset, *, batch, micro=4, place=(0, 1, 1), start=(0, 0), steps=1, workers=0):
    """All micro-batches of a rank; its place is rank, ranks, and ranks of the full job."""
    order, (rank, world, full) = MixedOrder.of(dataset.sets, batch, 0), place
    dealing = Dealing(Batching(batch, micro, full), rank, world)
    loader = training_loader(
        dataset, order, dealing, collate, Position(*start), steps=steps, num_workers=workers
    )
    return list(loader)


def indices(batches):
    return [[sample.key.index for sample in batch.samples] for batch in batches]


def test_loader_gives_micro_batches_of_the_order(dataset):
    order = MixedOrder.of(dataset.sets, 16, 0)

    batches = load(dataset, batch=16, place=(1, 2, 2), start=(3, 4), steps=2)

    own = [list(order.batch(3, position)[1::2]) for position in (4, 5)]
    assert indices(batches) == [samples[m : m + 4] for samples in own for m in (0, 4)]
    assert [batch.number for batch in batches] == [1, 3, 1, 3]
    assert [(batch.clips, batch.tokens) for batch in batches] == [(4, 28)] * 4
    assert batches[0].arguments["video"].shape == (4, 2, 3, 16, 16)
    assert batches[0].arguments["video"].dtype is torch.uint8


def test_clips_are_among_the_arguments_only(dataset):
    (batch,) = load(dataset, batch=4)

    assert [sample.video_TCHW for sample in batch.samples] == [None] * 4
    assert batch.arguments["index"].tolist() == [sample.key.index for sample in batch.samples]


@pytest.mark.parametrize("workers", [1, 2])
def test_loader_gives_the_same_with_and_without_workers_over_the_end_of_an_epoch(dataset, workers):
    here, there = (
        load(dataset, batch=24, start=(0, 3), steps=2, workers=each) for each in (0, workers)
    )

    assert indices(here) == indices(there)
    assert {sample.key.epoch for batch in here for sample in batch.samples} == {0, 1}
    for one, other in zip(here, there, strict=True):
        assert (one.number, one.clips, one.tokens) == (other.number, other.clips, other.tokens)
        assert torch.equal(one.arguments["video"], other.arguments["video"])


def test_loader_started_in_the_middle_gives_the_tail(dataset):
    straight = load(dataset, batch=8, start=(1, 0), steps=14)

    resumed = load(dataset, batch=8, start=(1, 9), steps=5)

    assert indices(resumed) == indices(straight)[18:]
    assert torch.equal(resumed[0].arguments["video"], straight[18].arguments["video"])


@pytest.mark.parametrize("workers", [0, 1])
def test_loader_leaves_the_global_generator_as_it_was(dataset, workers):
    torch.manual_seed(0)
    before = torch.get_rng_state()

    load(dataset, batch=4, start=(0, 23), workers=workers)

    assert torch.equal(torch.get_rng_state(), before)


def test_loader_of_mixed_kinds_gives_batches_of_one_kind(dataset, tmp_path):
    turn = (Turn("", "hi", "hello"),)
    talk = MediaSet("chat", "text", (ConversationItem("text", None, turn),) * 32, tmp_path)
    both = ClipDataset([*dataset.sets, talk], frames=2, size_px=16, train=True)

    batches = load(both, batch=32, micro=32, steps=4)

    kinds = [{sample.kind for sample in batch.samples} for batch in batches]
    assert sorted(map(tuple, kinds)) == [("text",), ("video",), ("video",), ("video",)]
    assert ["video" in batch.arguments for batch in batches] == [
        kind == {"video"} for kind in kinds
    ]
    assert [batch.clips for batch in batches] == [32 * (kind == {"video"}) for kind in kinds]


def test_bad_clip_shrinks_its_micro_batch(half_broken):
    batches = load(half_broken, batch=20, micro=20, steps=3)

    assert [len(batch.samples) + len(batch.bad) for batch in batches] == [20, 20, 20]
    assert [len(batch.arguments["video"]) for batch in batches] == [
        len(batch.samples) for batch in batches
    ]
    assert {sample.item.caption for batch in batches for sample in batch.samples} == {"good"}
    assert {clip.file for batch in batches for clip in batch.bad} == {"broken.mp4"}


def test_micro_batch_without_a_readable_clip_has_black_ones_and_no_samples(half_broken):
    batches = load(half_broken, batch=4, micro=1, place=(0, 4, 4), steps=15)

    sizes = [(len(batch.samples), len(batch.bad)) for batch in batches]
    assert (len(sizes), set(sizes)) == (15, {(1, 0), (0, 1)})
    blank = batches[sizes.index((0, 1))]
    assert blank.arguments["video"].shape == (1, 2, 3, 8, 8)
    assert not blank.arguments["video"].any()
    assert blank.arguments["index"].tolist() == [blank.bad[0].key.index]
    assert (blank.clips, blank.tokens) == (0, 0)


def test_rank_without_a_micro_batch_goes_along_with_black_clips_and_reads_nothing(half_broken):
    (last,) = load(half_broken, batch=4, micro=2, place=(2, 3, 1))

    order = MixedOrder.of(half_broken.sets, 4, 0)
    assert (last.samples, last.bad, last.number, last.clips) == ((), (), None, 0)
    assert last.arguments["index"].tolist() == list(order.batch(0, 0)[:2])
    assert last.arguments["video"].shape == (2, 2, 3, 8, 8)
    assert not last.arguments["video"].any()


def test_order_of_another_global_batch_is_refused(dataset):
    with pytest.raises(ValueError, match="an order of 16 samples a step, not of 8"):
        training_loader(
            dataset,
            GlobalOrder(96, 16, 0),
            Dealing(Batching(8, 4, 1), 0, 1),
            collate,
            Position(0, 0),
            steps=1,
        )


def test_clips_read_for_one_batch_are_put_together_without_a_copy(half_broken):
    (batch,) = evaluation_loader(half_broken, RankShare(0, 1, 6), indices=range(6))

    video = batch.stacked()

    assert len(video) == len(batch.samples) == 3
    assert video.data_ptr() == batch.samples[0].video_TCHW.data_ptr()
    assert torch.equal(video, torch.stack([one.video_TCHW for one in batch.samples]))


def test_clips_that_lie_apart_are_put_together_in_their_order():
    apart = torch.arange(24, dtype=torch.uint8).view(4, 1, 3, 1, 2)

    assert torch.equal(together([apart[2], apart[0]]), apart[[2, 0]])
    assert torch.equal(together([apart[0], apart[2]]), apart[[0, 2]])
    assert torch.equal(together([apart[0].clone(), apart[1]]), apart[:2])
    assert torch.equal(together([apart[1], apart[2]]), apart[1:3])
    assert together([]) is None


def test_batch_goes_through_a_pipe_whole(dataset):
    (batch,) = load(dataset, batch=4)

    again = pickle.loads(pickle.dumps(batch))

    assert (again.samples, again.number, again.tokens) == (batch.samples, 0, 28)
    assert torch.equal(again.arguments["video"], batch.arguments["video"])


def test_evaluation_gives_each_sample_once_over_unequal_ranks(dataset):
    seen = [indices(evaluation_loader(dataset, RankShare(rank, 5, 8))) for rank in range(5)]

    flat = sorted(i for rank in seen for batch in rank for i in batch)
    assert flat == list(range(96))
    assert [sum(map(len, rank)) for rank in seen] == [20, 19, 19, 19, 19]


def test_evaluation_hands_on_bad_clips(half_broken):
    batches = list(evaluation_loader(half_broken, RankShare(0, 2, 10)))

    assert [(len(batch.samples), len(batch.bad)) for batch in batches] == [(0, 10)] * 3


@pytest.mark.parametrize(("micro", "timeout_s"), [(4, 540.0), (48, 1500.0)])
def test_rank_gives_up_waiting_for_a_large_batch_before_the_others_give_it_up(
    dataset, micro, timeout_s
):
    loader = training_loader(
        dataset,
        MixedOrder.of(dataset.sets, 48, 0),
        Dealing(Batching(48, micro, 1), 0, 1),
        collate,
        Position(0, 0),
        steps=1,
        num_workers=1,
    )

    assert loader.timeout == timeout_s < default_pg_timeout.total_seconds()
