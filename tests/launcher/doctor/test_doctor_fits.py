"""Requests that fit, and those that never can."""

from dataclasses import replace

import pytest

from launcher.cluster.base import NoAnswer
from launcher.doctor.finding import Level
from launcher.doctor.fits import fits
from launcher.doctor.request import request_of
from launcher.doctor.site import NodeGroup, Qos
from launcher.pipeline.parts import ClusterSettings
from tests.launcher.doctor.sites import REQUEST, the_cluster, with_default


def told(found) -> list[tuple[str, str]]:
    return [(str(finding.level), finding.id) for finding in found]


def test_request_that_fits_is_told_as_fine():
    [found] = fits(REQUEST, the_cluster())

    assert found.level is Level.OK
    assert found.what == "4 nodes x 8 GPUs for 12h fit partition preempt (4 nodes, no time limit)"


@pytest.mark.parametrize(
    ("change", "id_"),
    [
        ({"partitions": ("nosuch",)}, "partition-unknown"),
        ({"min_nodes": 9, "max_nodes": 9}, "nodes-too-many"),
        ({"gpus": 9}, "gpus-too-many"),
        ({"cpus": 65}, "cpus-too-many"),
        ({"mem_mb": 500_001}, "memory-too-much"),
        ({"constraint": "h100"}, "nodes-unfit"),
    ],
)
def test_request_that_can_never_run_is_one_error(change, id_):
    assert told(fits(replace(REQUEST, **change), the_cluster())) == [("error", id_)]


@pytest.mark.parametrize(
    ("fields", "id_"),
    [
        ({"max_nodes": 2}, "nodes-too-many"),
        ({"min_nodes": 5, "total_nodes": 8}, "nodes-too-few"),
        ({"max_time_s": 12 * 3600 - 1}, "time-too-long"),
        ({"needs_reservation": True}, "reservation-needed"),
    ],
)
def test_limit_of_a_partition_is_an_error(fields, id_):
    assert told(fits(REQUEST, with_default(the_cluster(), **fields))) == [("error", id_)]


def test_limits_that_are_just_kept_are_fine():
    site = with_default(the_cluster(), max_nodes=4, min_nodes=4, max_time_s=12 * 3600)

    assert told(fits(REQUEST, site)) == [("ok", "fits")]


def test_range_of_nodes_needs_only_its_fewest():
    asked = replace(REQUEST, min_nodes=2, max_nodes=9)

    assert told(fits(asked, the_cluster())) == [("ok", "fits")]


def test_nodes_must_have_all_that_is_asked_at_once():
    groups = [
        NodeGroup(partition="preempt", count=4, cpus=64, mem_mb=1000, gpus=0),
        NodeGroup(partition="preempt", count=4, cpus=8, mem_mb=1000, gpus=8),
    ]
    site = replace(with_default(the_cluster(), total_nodes=8), groups=groups)

    assert told(fits(replace(REQUEST, cpus=64), site)) == [("error", "nodes-unfit")]


def test_nodes_that_are_down_are_a_warning_as_they_may_come_back():
    groups = [replace(the_cluster().groups[0], count=3), replace(the_cluster().groups[0], count=1)]
    site = replace(the_cluster(), groups=[groups[0], replace(groups[1], state="drained")])

    assert told(fits(REQUEST, site)) == [("warning", "nodes-away")]


def test_one_partition_of_several_is_enough():
    asked = replace(REQUEST, partitions=("nosuch", "high"))

    assert told(fits(asked, the_cluster())) == [("warning", "partition-unknown"), ("ok", "fits")]


def test_qos_may_go_beyond_the_time_of_its_partition():
    site = with_default(the_cluster(), max_time_s=3600)
    qos = [Qos(name="long", flags=frozenset(("PartitionTimeLimit",)))]

    found = fits(replace(REQUEST, qos="long"), replace(site, qos=qos))

    assert told(found) == [("note", "time-too-long")]


def test_partition_that_is_down_is_a_warning():
    assert told(fits(REQUEST, with_default(the_cluster(), state="DOWN"))) == [
        ("warning", "partition-not-up")
    ]


@pytest.mark.parametrize("part", ["partitions", "groups"])
def test_silence_is_not_checked_and_never_fine(part):
    site = replace(the_cluster(), **{part: NoAnswer("sinfo: no answer within 15 s")})

    found = fits(REQUEST, site)

    assert ("not checked", "slurm-silent") in told(found)
    assert Level.OK not in [finding.level for finding in found]


def test_constraint_that_is_not_understood_is_not_checked():
    found = fits(replace(REQUEST, constraint="[a*2&b*2]"), the_cluster())

    assert told(found) == [("not checked", "constraint")]


def test_sbatch_option_goes_before_the_key_of_the_file():
    settings = ClusterSettings(
        partition="preempt", time_limit_s=61, sbatch={"partition": "high", "gres": "gpu:9"}
    )

    found = request_of(settings)

    assert (found.partitions, found.unread, found.time_s) == (("high",), ("gres",), 120)
    assert ("not checked", "sbatch-options") in told(fits(found, the_cluster()))


def test_partition_of_other_groups_is_a_warning_as_slurmctld_may_know_better():
    site = with_default(the_cluster(), allow_groups=frozenset(("lab", "staff")))

    assert told(fits(REQUEST, site, frozenset(("guests",)))) == [("warning", "groups")]
    assert told(fits(REQUEST, site, frozenset(("lab",)))) == [("ok", "fits")]
    assert told(fits(REQUEST, site, None)) == [("ok", "fits")]


def test_too_many_cores_name_the_key_that_asked_for_them():
    by_gpu = ClusterSettings(time_limit_s=60, gpus_per_node=8, cpus_per_gpu=14)
    by_task = ClusterSettings(time_limit_s=60, cpus_per_task=65)

    found = [fits(request_of(each), the_cluster())[0].where for each in (by_gpu, by_task)]

    assert found == ["cluster.cpus_per_gpu", "cluster.cpus_per_task"]
