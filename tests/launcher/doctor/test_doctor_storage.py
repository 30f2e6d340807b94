"""Room for what is kept, and time to get on."""

from dataclasses import replace

import pytest

from db.sizes import Size
from db.timings import Timing
from launcher.doctor.finding import Level
from launcher.doctor.slices import slices
from launcher.doctor.storage import Disk, kept_checkpoints, room, sharing
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


def told(tmp_path, disk, sizes) -> list[tuple[str, str]]:
    found = room(disk, make_pipeline(tmp_path), sizes)
    return [(str(finding.level), finding.id) for finding in found]


def both(size: Size) -> dict[str, Size]:
    return {"second": size, "middle": size}


def test_room_for_all_that_is_kept_is_fine_up_to_the_last_byte(tmp_path):
    # two stages, each keeps 2 and writes a third
    fits = both(Size(bytes=1500, files=13, total_steps=None))

    assert told(tmp_path, DISK, fits) == [("ok", "room")]
    assert told(tmp_path, replace(DISK, free_bytes=9_999), fits) == [("warning", "room")]
    assert told(tmp_path, replace(DISK, free_files=99), fits) == [("warning", "room")]


def test_file_system_that_counts_no_files_is_fine(tmp_path):
    sizes = both(Size(bytes=1, files=1000, total_steps=None))

    assert told(tmp_path, replace(DISK, free_files=None), sizes) == [("ok", "room")]


def test_stage_that_never_saved_is_not_checked(tmp_path):
    found = list(room(DISK, make_pipeline(tmp_path), {"second": Size(1, 1, None)}))

    assert [str(finding.level) for finding in found] == ["ok", "not checked"]
    assert "middle" in found[1].what
    assert "second" not in found[1].what


def test_quota_and_a_folder_of_others_are_warnings(tmp_path):
    disk = replace(DISK, writable=False, quota=("File limit reached on /home",))

    assert told(tmp_path, disk, both(Size(1, 1, None)))[:2] == [
        ("warning", "not-writable"),
        ("warning", "quota"),
    ]


@pytest.mark.parametrize(
    ("checkpoint", "kept"),
    [
        ("{keep: 4}", 5),
        ("{keep_every: 100}", 13),
        ("{keep_epochs: true, keep_best: true}", 7),
    ],
)
def test_checkpoints_that_stay_are_counted(tmp_path, checkpoint, kept):
    pipeline = make_pipeline(
        tmp_path,
        ["stages.second.train.epochs=3", f"stages.second.train.checkpoint={checkpoint}"],
    )

    assert kept_checkpoints(pipeline.stage("second"), 1000) == kept


def sliced(tmp_path, start_s, *overrides, timing=Timing(step_s=1.0, save_s=10.0)):  # noqa: B008
    pipeline = make_pipeline(tmp_path, ["cluster.time_limit=10m", *overrides])
    found = list(slices(pipeline.stage("second"), timing, start_s))
    assert len(found) == 1
    return found[0].level, found[0].id


EVERY_300 = "stages.second.train.checkpoint.every=300"


def test_slice_that_holds_start_interval_and_save_is_fine_up_to_the_second(tmp_path):
    # 600 s - 120 s = 170 s + 300 s + 10 s
    assert sliced(tmp_path, 170.0, EVERY_300) == (Level.OK, "slice")
    assert sliced(tmp_path, 170.1, EVERY_300) == (Level.WARNING, "slice-too-short")


def test_slice_that_ends_before_a_step_never_gets_on(tmp_path):
    assert sliced(tmp_path, 480.0, EVERY_300) == (Level.WARNING, "slice-never")


def test_interval_of_auto_is_at_most_its_longest(tmp_path):
    assert sliced(tmp_path, 1.0) == (Level.WARNING, "slice-too-short")
    shorter = "stages.second.train.checkpoint.max_interval=5m"
    assert sliced(tmp_path, 1.0, shorter) == (Level.OK, "slice")


@pytest.mark.parametrize("timing", [Timing(), Timing(step_s=1.0), Timing(save_s=1.0)])
def test_slice_of_a_stage_that_never_ran_is_not_checked(tmp_path, timing):
    assert sliced(tmp_path, None, timing=timing) == (Level.UNKNOWN, "slice-unknown")
    assert sliced(tmp_path, 1.0, timing=timing) == (Level.UNKNOWN, "slice-unknown")
