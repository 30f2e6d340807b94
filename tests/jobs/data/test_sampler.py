import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.contract.batching import Batching
from jobs.data.sampler import Dealing, GlobalOrder

sizes = st.integers(1, 200)
batches = st.integers(1, 24)


@given(num_samples=sizes, global_batch=batches, seed=st.integers(0, 9), epoch=st.integers(0, 3))
def test_epoch_gives_each_sample_once_but_for_the_rest(num_samples, global_batch, seed, epoch):
    global_batch = min(global_batch, num_samples)
    order = GlobalOrder(num_samples, global_batch, seed)

    seen = [i for b in range(order.steps_per_epoch) for i in order.batch(epoch, b)]

    assert len(seen) == len(set(seen)) == num_samples // global_batch * global_batch
    assert set(seen) <= set(range(num_samples))


@given(
    full_world=st.integers(1, 9),
    bites=st.integers(1, 4),
    micro=st.integers(1, 4),
    world=st.integers(1, 12),
)
def test_ranks_of_any_world_size_take_the_same_micro_batches(full_world, bites, micro, world):
    batching = Batching(full_world * bites * micro, micro, full_world)
    batch = range(100, 100 + batching.global_batch)
    ranks = [Dealing(batching, rank, world) for rank in range(world)]

    taken = [number for rank in ranks for number in rank.numbers if number is not None]

    assert {len(rank.numbers) for rank in ranks} == {-(-full_world * bites // world)}
    assert sorted(taken) == list(range(full_world * bites))
    assert sorted(i for number in taken for i in ranks[0].samples(batch, number)) == list(batch)


@given(full_world=st.integers(1, 9), bites=st.integers(1, 4), micro=st.integers(1, 4))
def test_micro_batches_are_the_bites_of_the_ranks_of_the_full_job(full_world, bites, micro):
    batching = Batching(full_world * bites * micro, micro, full_world)
    batch = range(batching.global_batch)

    for rank in range(full_world):
        dealing = Dealing(batching, rank, full_world)
        taken = [list(dealing.samples(batch, number)) for number in dealing.numbers]
        own = list(batch[rank::full_world])
        assert taken == [own[first : first + micro] for first in range(0, len(own), micro)]


def test_rank_that_has_no_micro_batch_left_goes_along():
    batching = Batching(global_batch=16, micro_batch=2, full_world=4)

    numbers = [Dealing(batching, rank, 3).numbers for rank in range(3)]

    assert numbers == [(0, 3, 6), (1, 4, 7), (2, 5, None)]


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
