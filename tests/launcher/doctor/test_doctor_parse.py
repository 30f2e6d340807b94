"""What Slurm 22.05.8 printed, read back; and what other sites print."""

import pytest

from launcher.doctor import parse
from launcher.doctor.site import Association, Limits, NodeGroup, Partition, Qos
from tests.launcher.doctor.sites import captured


def test_settings_of_the_real_slurm_are_read():
    found = parse.parse_settings(captured("config"))

    names = ("SLURM_VERSION", "AccountingStorageEnforce", "KillWait", "PreemptType", "ClusterName")
    assert [found[name] for name in names] == [
        "22.05.8",
        "none",
        "5 sec",
        "preempt/partition_prio",
        "test",
    ]
    assert found["AuthInfo"].endswith(",cred_expire=5")


def test_partitions_of_the_real_slurm_are_read():
    found = parse.parse_partitions(captured("partitions"))

    assert {each.name: (each.is_default, each.grace_s, each.preempt_mode) for each in found} == {
        "preempt": (True, 10.0, "REQUEUE"),
        "preemptcancel": (False, 10.0, "CANCEL"),
        "high": (False, 0.0, "OFF"),
    }
    assert found[0].total_nodes == 4
    assert (found[0].max_nodes, found[0].max_time_s, found[0].qos) == (None, None, None)
    assert found[0].allow_accounts is None


def test_limits_of_a_partition_are_read():
    line = (
        "PartitionName=gpu AllowGroups=lab,staff AllowAccounts=a,b DenyQos=low Default=NO QoS=part "
        "MaxNodes=2 MaxTime=1-12:00:00 MinNodes=1 Nodes=n[1-8] ReqResv=YES RootOnly=NO "
        "State=DRAIN TotalNodes=8 GraceTime=30 PreemptMode=OFF"
    )

    assert parse.parse_partitions(line) == [
        Partition(
            name="gpu",
            state="DRAIN",
            total_nodes=8,
            min_nodes=1,
            max_nodes=2,
            max_time_s=36 * 3600,
            nodes="n[1-8]",
            qos="part",
            allow_accounts=frozenset(("a", "b")),
            deny_qos=frozenset(("low",)),
            allow_groups=frozenset(("lab", "staff")),
            needs_reservation=True,
            preempt_mode="OFF",
            grace_s=30.0,
        )
    ]


def test_nodes_of_the_real_slurm_are_read():
    found = parse.parse_nodes(captured("nodes"))

    assert found[0] == NodeGroup(
        partition="preempt", count=4, cpus=64, mem_mb=500_000, gpus=8, nodes="node[1-4]"
    )
    assert [group.partition for group in found] == ["preempt", "preemptcancel", "high"]


@pytest.mark.parametrize(
    ("gres", "gpus"),
    [
        ("gpu:8", 8),
        ("gpu:a100:4(S:0-1)", 4),
        ("gpu:a100:2,gpu:v100:2", 4),
        ("nvme:1,gpu:3", 3),
        ("(null)", 0),
        ("mygpu:5", 0),
    ],
)
def test_gpus_of_a_node_are_counted_whatever_their_type(gres, gpus):
    [found] = parse.parse_nodes(f"p|2|64|1000|{gres}|down*|a100,ib|n[1-2]")

    assert (found.gpus, found.state, found.features) == (gpus, "down", frozenset(("a100", "ib")))


def test_associations_of_the_real_sacctmgr_are_read_for_one_cluster():
    text = captured("assoc") + "elsewhere|root|root||normal|||||\n"

    assert parse.parse_associations(text, "test") == [
        Association(
            account="poor",
            qos=frozenset(("normal", "short")),
            limits=Limits(wall_s=86_400, job={"node": 1}, group={"gres/gpu": 16}),
        ),
        Association(account="lab", qos=frozenset(("normal",))),
        Association(account="root", is_default=True, qos=frozenset(("normal",))),
    ]


def test_qos_of_the_real_sacctmgr_are_read():
    assert parse.parse_qos(captured("qos")) == [
        Qos(name="normal", grace_s=0),
        Qos(
            name="short",
            flags=frozenset(("DenyOnLimit",)),
            grace_s=30,
            limits=Limits(wall_s=3600, job={"gres/gpu": 8, "node": 2}, max_submit=2),
        ),
    ]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("UNLIMITED", None),
        ("30", 1800),
        ("30:00", 1800),
        ("12:00:00", 43_200),
        ("1-00:00:00", 86_400),
        ("1-12", 129_600),
        ("1-12:30", 131_400),
        ("", None),
        ("soon", None),
    ],
)
def test_time_is_read_as_slurm_writes_limits(text, seconds):
    assert parse.seconds(text) == seconds


def test_line_of_another_form_is_passed_over():
    assert parse.parse_nodes("slurm_load: error\n") == []
    assert parse.parse_qos("too|few\n") == []
