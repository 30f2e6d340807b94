import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.data.sampler import GlobalOrder, RankShare

sizes = st.integers(1, 200)
batches = st.integers(1, 24)


@given(num_samples=sizes, global_batch=batches, seed=st.integers(0, 9), epoch=st.integers(0, 3))
def test_epoch_gives_each_sample_once_but_for_the_rest(num_samples, global_batch, seed, epoch):
    global_batch = min(global_batch, num_samples)
    order = GlobalOrder(num_samples, global_batch, seed)

    seen = [i for b in range(order.steps_per_epoch) for i in order.batch(epoch, b)]

    assert len(seen) == len(set(seen)) == num_samples // global_batch * global_batch
    assert set(seen) <= set(range(num_samples))


@given(seed=st.integers(0, 9), epoch=st.integers(0, 3), position=st.integers(0, 4))
def test_ranks_of_any_world_size_together_take_the_same_batch(seed, epoch, position):
    batch = GlobalOrder(123, 24, seed).batch(epoch, position)

    taken = {
        world: [i for rank in range(world) for i in RankShare(rank, world, 1).take(batch)]
        for world in (1, 2, 3, 4, 8, 24)
    }

    assert all(sorted(indices) == sorted(batch) for indices in taken.values())


def test_samples_of_a_batch_are_dealt_out_in_turn():
    assert [RankShare(rank, 3, 1).take(range(6)) for rank in range(3)] == [
        range(0, 6, 3),
        range(1, 6, 3),
        range(2, 6, 3),
    ]


def test_order_of_an_epoch_can_be_given():
    order = GlobalOrder(5, 2, 0, permute=lambda epoch, count: np.arange(count)[::-1] + epoch)

    assert [order.batch(7, position) for position in (0, 1)] == [(11, 10), (9, 8)]


@given(position=st.integers(0, 9), seed=st.integers(0, 9))
def test_batch_is_the_same_for_a_new_order_that_starts_in_the_middle(position, seed):
    straight = GlobalOrder(100, 10, seed)
    seen = [straight.batch(epoch, b) for epoch in (0, 1) for b in range(10)]

    resumed = GlobalOrder(100, 10, seed)
    tail = [resumed.batch(1, b) for b in range(position, 10)]

    assert tail == seen[10 + position :]


def test_order_differs_between_epochs_and_seeds():
    orders = {GlobalOrder(50, 50, seed).batch(epoch, 0) for seed in range(3) for epoch in range(3)}

    assert len(orders) == 9


def test_position_after_the_epoch_is_refused():
    with pytest.raises(IndexError, match=r"position 10 is not in \[0, 10\)"):
        GlobalOrder(100, 10, 0).batch(0, 10)


def test_set_smaller_than_a_global_batch_is_refused():
    with pytest.raises(ValueError, match="7 samples do not fill one global batch of 8"):
        GlobalOrder(7, 8, 0)


def test_accumulation_follows_from_global_batch():
    assert RankShare(0, 4, 2).accumulation(24) == 3


@pytest.mark.parametrize("global_batch", [20, 4])
def test_global_batch_that_ranks_cannot_share_is_refused(global_batch):
    with pytest.raises(ValueError, match=f"{global_batch} is not a multiple of 4 ranks x micro-b"):
        RankShare(0, 4, 2).accumulation(global_batch)
