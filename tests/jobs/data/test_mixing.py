import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.data.mixing import MixedOrder

ROOT = Path(__file__).parents[3]
SETS = (("video", 30), ("image", 40), ("video", 50), ("text", 20))
KIND_OF_INDEX = ["video"] * 30 + ["image"] * 40 + ["video"] * 50 + ["text"] * 20


@given(seed=st.integers(0, 50), epoch=st.integers(0, 3))
def test_batch_is_of_one_kind_and_kinds_are_in_proportion(seed, epoch):
    order = MixedOrder(SETS, 10, seed)

    kinds = []
    for position in range(order.steps_per_epoch):
        found = {KIND_OF_INDEX[i] for i in order.batch(epoch, position)}
        assert found == {order.kind(epoch, position)}
        kinds.extend(found)

    assert Counter(kinds) == {"video": 8, "image": 4, "text": 2}


@given(seed=st.integers(0, 50))
def test_epoch_gives_each_sample_of_every_set_once(seed):
    order = MixedOrder(SETS, 10, seed)

    seen = [i for position in range(14) for i in order.batch(2, position)]

    assert sorted(seen) == list(range(140))


def test_rest_of_each_kind_is_dropped():
    assert MixedOrder([("video", 39), ("image", 25)], 10, 0).steps_per_epoch == 5


def test_order_of_kinds_differs_between_epochs():
    order = MixedOrder(SETS, 10, 0)

    schedules = {tuple(order.kind(epoch, b) for b in range(14)) for epoch in range(5)}

    assert len(schedules) == 5


@given(position=st.integers(0, 13))
def test_new_order_started_in_the_middle_gives_the_tail(position):
    straight = MixedOrder(SETS, 10, 3)
    seen = [straight.batch(1, b) for b in range(14)]

    resumed = MixedOrder(SETS, 10, 3)

    assert [resumed.batch(1, b) for b in range(position, 14)] == seen[position:]


def test_kind_with_too_few_samples_is_refused():
    with pytest.raises(ValueError, match="the image sets hold 4 samples, fewer than one global"):
        MixedOrder([("video", 100), ("image", 4)], 10, 0)


def test_position_before_the_epoch_is_refused():
    with pytest.raises(IndexError, match="position -1"):
        MixedOrder(SETS, 10, 0).batch(0, -1)


def test_order_over_ten_million_samples_needs_little_memory():
    program = (
        "import resource\n"
        "from jobs.data.mixing import MixedOrder\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "before = peak()\n"
        "order = MixedOrder([('video', 6_000_000), ('image', 10_000_000)], 512, 0)\n"
        "batches = [order.batch(0, position) for position in range(20)]\n"
        "print(round(peak() - before))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert int(done.stdout) < 150
