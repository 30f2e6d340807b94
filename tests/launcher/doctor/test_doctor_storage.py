"""Room for what is kept, and time to get on."""

from dataclasses import replace

import pytest

from db.timings import Timing
from launcher.disk import StageDisk
from launcher.doctor.finding import Level
from launcher.doctor.slices import slices
from launcher.doctor.storage import Disk, room, sharing
from launcher.past import Past
from tests.launcher.worlds import make_pipeline

DISK = Disk(
    folder="/runs",
    kind="nfs4",
    free_bytes=10_000,
    free_files=100,
    code_bytes=1000,
    code_files=10,
)


@pytest.mark.parametrize(
    ("kind", "nodes_are_here", "level"),
    [
        ("nfs4", False, Level.OK),
        ("fuse.sshfs", False, Level.OK),
        ("ext4", True, Level.OK),
        ("ext4", False, Level.WARNING),
        ("ext4", None, Level.UNKNOWN),
        (None, False, Level.UNKNOWN),
    ],
)
def test_folder_of_runs_must_be_seen_by_the_nodes(kind, nodes_are_here, level):
    assert sharing(replace(DISK, kind=kind, nodes_are_here=nodes_are_here)).level is level


def told(disk: Disk, *needed: StageDisk) -> list[tuple[str, str]]:
    return [(str(finding.level), finding.id) for finding in room(disk, needed)]


def both(copy_bytes: int, copy_files: int) -> tuple[StageDisk, StageDisk]:
    """Two stages, each keeps 2 and writes a third."""
    return (
        StageDisk("second", 3, copy_bytes, copy_files),
        StageDisk("middle", 3, copy_bytes, copy_files),
    )


def test_room_for_all_that_is_kept_is_fine_up_to_the_last_byte():
    fits = both(1500, 13)

    assert told(DISK, *fits) == [("ok", "room")]
    assert told(replace(DISK, free_bytes=9_999), *fits) == [("warning", "room")]
    assert told(replace(DISK, free_files=99), *fits) == [("warning", "room")]


def test_file_system_that_counts_no_files_is_fine():
    assert told(replace(DISK, free_files=None), *both(1, 1000)) == [("ok", "room")]


def test_stage_that_never_saved_is_not_checked():
    found = list(room(DISK, [StageDisk("second", 3, 1, 1)], ["middle"]))

    assert [str(finding.level) for finding in found] == ["ok", "not checked"]
    assert "middle" in found[1].what
    assert "second" not in found[1].what


def test_quota_and_a_folder_of_others_are_warnings():
    disk = replace(DISK, writable=False, quota=("File limit reached on /home",))

    assert told(disk, *both(1, 1))[:2] == [("warning", "not-writable"), ("warning", "quota")]


KNOWN = Timing(step_s=1.0, save_s=10.0)


def sliced(tmp_path, start_s, *overrides, timing=KNOWN, hard_per_s=0.0):
    pipeline = make_pipeline(tmp_path, ["cluster.time_limit=10m", *overrides])
    past = Past(start_s=start_s)
    [found] = slices(pipeline.stage("second"), timing, past, hard_per_s)
    return found.level, found.id


EVERY_300 = "stages.second.train.checkpoint.every=300"


def test_slice_that_holds_start_interval_and_save_is_fine_up_to_the_second(tmp_path):
    # 600 s - 120 s = 170 s + 300 s + 10 s
    assert sliced(tmp_path, 170.0, EVERY_300) == (Level.OK, "slice")
    assert sliced(tmp_path, 170.1, EVERY_300) == (Level.WARNING, "slice-too-short")


def test_slice_that_ends_before_a_step_never_gets_on(tmp_path):
    assert sliced(tmp_path, 480.0, EVERY_300) == (Level.WARNING, "slice-never")


def test_interval_of_auto_is_the_one_that_a_job_would_choose(tmp_path):
    # Daly for a save of 10 s and a loss a day: 22 min, not the hour of max_interval
    assert sliced(tmp_path, 1.0) == (Level.WARNING, "slice-too-short")
    assert sliced(tmp_path, 1.0, "cluster.time_limit=1h") == (Level.OK, "slice")
    shorter = "stages.second.train.checkpoint.max_interval=5m"
    assert sliced(tmp_path, 1.0, shorter) == (Level.OK, "slice")


def test_interval_of_auto_is_shorter_where_work_is_lost_more_often(tmp_path):
    assert sliced(tmp_path, 1.0, hard_per_s=1 / 3600) == (Level.OK, "slice")


def test_stage_that_cannot_resume_has_one_slice_only(tmp_path):
    stage = make_pipeline(tmp_path, ["stages.second.resumable=false"]).stage("second")

    assert list(slices(stage, KNOWN, Past(start_s=1.0), 0.0)) == []


@pytest.mark.parametrize("timing", [Timing(), Timing(step_s=1.0), Timing(save_s=1.0)])
def test_slice_of_a_stage_that_never_ran_is_not_checked(tmp_path, timing):
    assert sliced(tmp_path, None, timing=timing) == (Level.UNKNOWN, "slice-unknown")
    assert sliced(tmp_path, 1.0, timing=timing) == (Level.UNKNOWN, "slice-unknown")
