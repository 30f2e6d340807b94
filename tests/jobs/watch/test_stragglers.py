"""Which ranks keep the others waiting: by numbers, and with ranks of which one is slow."""

import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from jobs.contract.events import read_events
from jobs.contract.paths import RunFolder
from jobs.watch.counts import own_times, spread_of
from jobs.watch.stragglers import OwnTime, Spread
from tests.jobs.lagging import EVERY, SLOW_IN, SLOW_S
from tests.jobs.paper import paper_job

ROOT = Path(__file__).parents[3]


def ranks(*own_s: float) -> Spread:
    """Ranks with these times of their own, half of it their forward passes'."""
    return Spread([OwnTime(rank, "n1", s / 2, s / 2) for rank, s in enumerate(own_s)])


def test_rank_lags_when_it_takes_more_than_a_fifth_longer_than_the_median():
    spread = ranks(1.0, 1.19, 1.3, 1.0, 1.0, 2.0)

    assert [each.rank for each in spread.lagging()] == [5, 2]


def test_of_two_ranks_the_slower_one_lags():
    assert [each.rank for each in ranks(2.0, 1.0).lagging()] == [0]


def test_event_names_what_the_slowest_rank_spends_its_time_with():
    told = ranks(1.0, 1.0, 4.0).event(200)

    slowest = {"rank": 2, "host": "n1", "own_s": 4.0, "forward_s": 2.0, "data_s": 2.0, "ratio": 4.0}
    assert told == {"step": 200, "median_s": 1.0, "lagging": 1, "slowest": [slowest]}


def test_equal_ranks_are_nothing_to_tell_of():
    assert ranks(1.0, 1.0, 1.1).event(200) is None


def test_summed_counts_give_back_the_times_and_the_node_of_each_rank():
    hosts = ("n1", "n2")
    own = [OwnTime(0, "n1", 0.5, 0.25), OwnTime(1, "n2", 1.5, 0.0), OwnTime(2, "", 0.0, 0.125)]

    summed = [
        sum(places) for places in zip(*(own_times(each, hosts, 3) for each in own), strict=True)
    ]

    assert spread_of(summed, hosts) == Spread(own)


def test_slow_rank_is_told_although_all_ranks_take_a_step_in_the_same_time(tmp_path):
    command = [sys.executable, "-m", "tests.jobs.lagging", str(tmp_path)]
    ranks = [subprocess.Popen([*command, str(rank)], cwd=ROOT) for rank in range(2)]

    assert [process.wait(timeout=120) for process in ranks] == [0, 0]

    stage = RunFolder(tmp_path).stage("s1")
    path = stage.events_file(paper_job(RunFolder(tmp_path)).place.attempt)
    told = [e.fields["stragglers"] for e in read_events(path) if "stragglers" in e.fields]
    assert [each["step"] for each in told] == [2 + EVERY, 2 + 2 * EVERY]
    for slow_in, each in zip(SLOW_IN, told, strict=True):
        (slowest,) = each["slowest"]
        assert (slowest["rank"], slowest["host"]) == (1, "n1")
        assert slowest["ratio"] > 1.5
        assert slowest[f"{slow_in}_s"] >= SLOW_S
    curve = EventAccumulator(str(stage.tensorboard)).Reload().Scalars("speed/own_s_slowest")
    slowest_s = [each["slowest"][0]["own_s"] for each in told]
    assert [each.value for each in curve] == pytest.approx(slowest_s)
