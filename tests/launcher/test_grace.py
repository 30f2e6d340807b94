"""Whether a stop fits into the notice that the site gives."""

from dataclasses import replace
from pathlib import Path

import pytest

from db.schema import Attempt, Checkpoint
from db.timings import Timing, timing_of
from launcher.cli import main
from launcher.cluster import SlurmCluster
from launcher.cluster.base import NoAnswer
from launcher.cluster.notice import Notice, parse_notice
from launcher.doctor.finding import Level, of_level
from launcher.grace import Notices, judge, needed_s, preflight
from tests.launcher.steered import World, world
from tests.launcher.worlds import make_pipeline

__all__ = ["world"]

CONFIG = """\
Configuration data as of 2026-11-24T21:31:00
PreemptMode             = REQUEUE
PreemptType             = preempt/partition_prio
PreemptExemptTime       = 00:00:00
"""
PARTITIONS = """\
PartitionName=scavenge AllowGroups=ALL Default=YES GraceTime=30 PreemptMode=REQUEUE State=UP
PartitionName=strict AllowGroups=ALL Default=NO GraceTime=0 PreemptMode=CANCEL State=UP
PartitionName=paused AllowGroups=ALL Default=NO GraceTime=0 PreemptMode=GANG,SUSPEND State=UP
PartitionName=high AllowGroups=ALL Default=NO GraceTime=0 PreemptMode=OFF State=UP
"""


@pytest.mark.parametrize(
    ("partition", "notice"),
    [
        (None, Notice("scavenge", preempts=True, grace_s=30.0)),
        ("strict", Notice("strict", preempts=True, grace_s=0.0)),
        ("paused", Notice("paused", preempts=False, grace_s=0.0)),
        ("high", Notice("high", preempts=False, grace_s=0.0)),
        ("gone", NoAnswer("scontrol show partition: partition gone is not among them")),
    ],
)
def test_notice_is_that_of_the_partition(partition, notice):
    assert parse_notice(CONFIG, PARTITIONS, partition) == notice


def test_cluster_without_preemption_takes_no_nodes_away():
    config = CONFIG.replace("partition_prio", "none")

    assert parse_notice(config, PARTITIONS, "scavenge") == Notice(
        "scavenge", preempts=False, grace_s=0.0
    )


def test_grace_of_a_qos_is_not_taken_for_that_of_the_partition():
    config = CONFIG.replace("partition_prio", "qos")

    assert parse_notice(config, PARTITIONS, "scavenge") == Notice(
        "scavenge", preempts=True, grace_s=None
    )


@pytest.mark.parametrize("config", ["", "PreemptMode = REQUEUE\n"])
def test_configuration_that_cannot_be_read_is_no_answer(config):
    assert isinstance(parse_notice(config, PARTITIONS, None), NoAnswer)


@pytest.mark.cluster
@pytest.mark.usefixtures("slurm")
def test_notice_of_the_real_slurm_is_that_of_its_configuration():
    cluster = SlurmCluster()

    found = [cluster.notice(partition) for partition in (None, "preemptcancel", "high", "none")]

    assert found == [
        Notice("preempt", preempts=True, grace_s=10.0),
        Notice("preemptcancel", preempts=True, grace_s=10.0),
        Notice("high", preempts=False, grace_s=0.0),
        NoAnswer("scontrol show partition: partition none is not among them"),
    ]


SCAVENGE = Notice("scavenge", preempts=True, grace_s=30.0)
SLOW = Timing(step_s=12.0, save_s=45.0)


def told(folder: Path, notice: Notice | NoAnswer, timing: Timing, *overrides: str):
    """What is told of `second`, the first stage that trains."""
    pipeline = make_pipeline(folder, overrides)
    notices = Notices({"second": notice}, {"second": timing})
    return judge([pipeline.stage("second")], notices)


def lines(found, level: Level) -> list[str]:
    return [finding.line for finding in of_level(found, level)]


def test_stop_that_fits_is_no_matter(tmp_path):
    found = told(tmp_path, SCAVENGE, Timing(step_s=1.0, save_s=2.0))

    assert found == ()


def test_stop_that_does_not_fit_is_told_with_its_numbers_and_what_to_change(tmp_path):
    found = told(tmp_path, SCAVENGE, SLOW, "cluster.signal_lead=60s")

    takes = (
        "a step takes 12 s and a save 45 s, a stop about 107 s (a step, the save under way, "
        "its own)"
    )
    assert lines(found, Level.WARNING) == [
        f"stages.second: partition scavenge gives 30 s; {takes}: a preemption can cost up to one "
        "checkpoint interval; ask for GraceTime=107, or lower checkpoint.max_interval to bound "
        "that",
        f"stages.second: it is told to save 1m before its time limit; {takes}: each attempt can "
        "lose what it did since its last save; set cluster.signal_lead to 107s",
    ]


def test_partition_without_grace_is_told_whatever_a_stop_takes(tmp_path):
    strict = replace(SCAVENGE, partition="strict", grace_s=0.0)

    found = told(tmp_path, strict, Timing(), "stages.second.train.checkpoint.every=500")

    assert lines(found, Level.WARNING) == [
        "stages.second: partition strict gives no grace (GraceTime=0): a preemption can cost up "
        "to one checkpoint interval; set checkpoint.every, now 500 steps, to auto or to fewer",
    ]


@pytest.mark.parametrize(
    ("notice", "question"),
    [
        (
            SCAVENGE,
            "second: partition scavenge gives 30 s; whether a save fits is not known before a run "
            "of this pipeline has saved",
        ),
        (
            replace(SCAVENGE, grace_s=None),
            "second: the notice in partition scavenge is that of the job's QOS; how long a stop "
            "takes is not known before a run of this pipeline has saved; compare: sacctmgr show "
            "qos format=Name,PreemptMode,GraceTime",
        ),
    ],
    ids=["never saved", "QOS"],
)
def test_what_is_not_known_is_no_warning(tmp_path, notice, question):
    found = told(tmp_path, notice, Timing())

    assert [(finding.level, finding.line) for finding in found] == [(Level.UNKNOWN, question)]


def test_nothing_is_told_where_no_slurm_answers(tmp_path):
    found = told(tmp_path, NoAnswer("scontrol: no answer within 15 s"), Timing())

    assert found == ()


def test_stages_with_the_same_question_share_its_line(tmp_path):
    stages = make_pipeline(tmp_path).stages[1:3]

    found = judge(stages, Notices({stage.name: SCAVENGE for stage in stages}, {}))

    assert [finding.where for finding in of_level(found, Level.UNKNOWN)] == ["second, middle"]


class Asked:
    """A cluster that counts how often it is asked for a notice."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []

    def notice(self, partition: str | None) -> Notice:
        self.asked.append(partition)
        return SCAVENGE


def remember(world: World, step_s: float, *save_s: float) -> None:
    """Records that `second` has run and saved."""
    [row] = [row for name, row in world.rows.items() if name == "second"]
    with world.ledger.write() as session:
        session.add(
            Attempt(
                submission_id=row.submissions[-1].id,
                stage_run_id=row.id,
                cluster="slurm",
                slurm_id="900",
                restart=0,
                state="COMPLETED",
                step_s=step_s,
            )
        )
        for number, seconds in enumerate(save_s):
            session.add(
                Checkpoint(
                    stage_run_id=row.id,
                    step=number,
                    path=f"step-{number}",
                    bytes=1,
                    files=1,
                    digest="",
                    final=False,
                    save_s=seconds,
                    created_at=1.0,
                )
            )


def test_earlier_run_of_the_pipeline_says_what_a_stop_takes(world: World) -> None:
    remember(world, 12.0, 900.0, 40.0, 41.0, 45.0, 42.0, 43.0)

    with world.ledger.read() as session:
        timing = timing_of(session, "demo", "second")
        other = timing_of(session, "other", "second")

    assert (timing, needed_s(timing)) == (SLOW, 107.0)  # the first save is too long ago
    assert (other, needed_s(other)) == (Timing(), None)


def test_partition_is_asked_once_for_all_its_stages(world: World) -> None:
    remember(world, 12.0, 45.0)
    cluster = Asked()

    found = preflight(world.pipeline, lambda _: cluster)

    assert cluster.asked == [None]
    warned = [finding.where for finding in of_level(found, Level.WARNING)]
    assert warned == ["p.yaml:10: stages.second"]
    assert [finding.where for finding in of_level(found, Level.UNKNOWN)] == ["middle"]


@pytest.mark.cluster
@pytest.mark.usefixtures("slurm")
def test_plan_and_submit_warn_where_a_stop_does_not_fit(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    remember(world, 12.0, 45.0)
    file = str(world.pipeline.path)

    codes = []
    for command in (["plan", file], ["submit", file, "--dry-run"]):
        codes.append(main([*command, "--set", "cluster.backend=slurm"]))
        err = capsys.readouterr().err
        assert "warning: p.yaml:10: stages.second: partition preempt gives 10 s; a step" in err
        assert "middle: partition preempt gives 10 s; whether a save fits is not known" in err
    assert codes == [0, 0]
