import pytest
import torch

from jobs.data.annotations import open_set
from jobs.data.dataset import ClipDataset
from jobs.data.items import CaptionItem, ConversationItem, MediaSet, Turn
from jobs.data.loader import evaluation_loader, make_loader
from jobs.data.mixing import MixedOrder
from jobs.data.sampler import GlobalOrder, Position, RankShare

ALONE = RankShare(0, 1, 4)


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


def indices(batches):
    return [[sample.key.index for sample in batch.samples] for batch in batches]


def test_loader_gives_micro_batches_of_the_order(dataset):
    order = GlobalOrder(96, 16, 0)

    loader = make_loader(dataset, order, RankShare(1, 2, 4), Position(3, 4))
    batches = list(loader)

    own = [list(order.batch(3, position)[1::2]) for position in (4, 5)]
    expected = [samples[m : m + 4] for samples in own for m in (0, 4)]
    assert len(loader) == 4
    assert indices(batches) == expected
    assert batches[0].stacked().shape == (4, 2, 3, 16, 16)


def test_loader_gives_the_same_tensors_with_and_without_workers(dataset):
    order = GlobalOrder(96, 24, 0)

    here, there = (
        list(make_loader(dataset, order, ALONE, Position(0, 2), num_workers=workers))
        for workers in (0, 2)
    )

    assert indices(here) == indices(there)
    for one, other in zip(here, there, strict=True):
        assert torch.equal(one.stacked(), other.stacked())


def test_loader_started_in_the_middle_gives_the_tail(dataset):
    order = GlobalOrder(96, 8, 0)
    straight = list(make_loader(dataset, order, ALONE, Position(1, 0)))

    resumed = list(make_loader(dataset, GlobalOrder(96, 8, 0), ALONE, Position(1, 9)))

    assert indices(resumed) == indices(straight)[18:]
    assert torch.equal(resumed[0].stacked(), straight[18].stacked())


@pytest.mark.parametrize("workers", [0, 1])
def test_loader_leaves_the_global_generator_as_it_was(dataset, workers):
    torch.manual_seed(0)
    before = torch.get_rng_state()

    next(
        iter(
            make_loader(dataset, GlobalOrder(96, 4, 0), ALONE, Position(0, 23), num_workers=workers)
        )
    )

    assert torch.equal(torch.get_rng_state(), before)


def test_loader_of_mixed_kinds_gives_batches_of_one_kind(dataset, tmp_path):
    turn = (Turn("", "hi", "hello"),)
    talk = MediaSet("chat", "text", (ConversationItem("text", None, turn),) * 32, tmp_path)
    both = ClipDataset([*dataset.sets, talk], frames=2, size_px=16, train=True)

    batches = list(
        make_loader(both, MixedOrder.of(both.sets, 32, 0), RankShare(0, 1, 32), Position(0, 0))
    )

    kinds = [{sample.kind for sample in batch.samples} for batch in batches]
    assert sorted(map(tuple, kinds)) == [("text",), ("video",), ("video",), ("video",)]
    assert [batch.stacked() is None for batch in batches] == [kind == {"text"} for kind in kinds]


def test_bad_clip_shrinks_its_micro_batch(half_broken):
    order = GlobalOrder(60, 20, 0)

    batches = list(make_loader(half_broken, order, RankShare(0, 1, 20), Position(0, 0)))

    assert [len(batch.samples) + len(batch.bad) for batch in batches] == [20, 20, 20]
    assert {sample.item.caption for batch in batches for sample in batch.samples} == {"good"}
    assert {clip.file for batch in batches for clip in batch.bad} == {"broken.mp4"}


def test_micro_batch_without_a_readable_clip_is_one_without_samples(half_broken):
    order = GlobalOrder(60, 4, 0)

    batches = list(make_loader(half_broken, order, RankShare(0, 4, 1), Position(0, 0)))

    sizes = [(len(batch.samples), len(batch.bad)) for batch in batches]
    assert (len(sizes), set(sizes)) == (15, {(1, 0), (0, 1)})
    assert batches[sizes.index((0, 1))].stacked() is None


def test_global_batch_that_does_not_fit_the_ranks_is_refused(dataset):
    with pytest.raises(ValueError, match="16 is not a multiple of 3 ranks x micro-batch 4"):
        make_loader(dataset, GlobalOrder(96, 16, 0), RankShare(0, 3, 4), Position(0, 0))


def test_evaluation_gives_each_sample_once_over_unequal_ranks(dataset):
    seen = [indices(evaluation_loader(dataset, RankShare(rank, 5, 8))) for rank in range(5)]

    flat = sorted(i for rank in seen for batch in rank for i in batch)
    assert flat == list(range(96))
    assert [sum(map(len, rank)) for rank in seen] == [20, 19, 19, 19, 19]


def test_evaluation_hands_on_bad_clips(half_broken):
    batches = list(evaluation_loader(half_broken, RankShare(0, 2, 10)))

    assert [(len(batch.samples), len(batch.bad)) for batch in batches] == [(0, 10)] * 3
