"""Manifests: what a checkpoint must hold to be one."""

import pytest

from jobs.contract.manifest import (
    NAME,
    CheckpointFile,
    Manifest,
    checkpoint_folders,
    describe,
    done_marker,
    faults,
    newest_valid,
    read_manifest,
    write_manifest,
)
from jobs.contract.paths import StageFolder


@pytest.fixture
def stage(tmp_path) -> StageFolder:
    return StageFolder(tmp_path)


def save(stage, step, *, final=False):
    """A checkpoint of one shard."""
    folder = stage.checkpoint(step, final=final)
    folder.mkdir(parents=True)
    shard = folder / "shard.pt"
    shard.write_bytes(b"state %d" % step)
    manifest = Manifest(step=step, files=(describe(shard, shard.name),), final=final)
    write_manifest(folder, manifest)
    return folder


def test_manifest_reads_back_what_was_written(tmp_path):
    manifest = Manifest(
        step=1200,
        epoch=2,
        samples_seen=9600,
        world_size=32,
        files=(CheckpointFile("a", 3, "00"), CheckpointFile("b", 4, "f")),
        weights="a",
        save_s=1.5,
        parent="step-00000600",
        code_sha="8787ebc",
        final=True,
    )

    write_manifest(tmp_path, manifest)

    assert (read_manifest(tmp_path), manifest.bytes) == (manifest, 7)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b'{"step": 1}',
        b'{"step": "1", "files": []}',
        b'{"step": 1, "files": [{"name": "a"}]}',
        b'{"step": 1, "files": [], "surplus": 1}',
        b"\xff\xfe",
    ],
)
def test_garbled_manifest_is_none(tmp_path, text):
    (tmp_path / NAME).write_bytes(text)

    assert read_manifest(tmp_path) is None


def test_whole_checkpoint_has_no_faults(stage):
    folder = save(stage, 3)

    assert faults(folder, read_manifest(folder), digests=True) == []


def test_change_of_size_is_a_fault_without_reading_digests(stage):
    folder = save(stage, 3)
    (folder / "shard.pt").write_bytes(b"sta")

    found = faults(folder, read_manifest(folder), digests=False)

    assert found == [f"{folder}/shard.pt: 3 bytes, the manifest says 7"]


def test_change_of_content_is_a_fault_for_digests_only(stage):
    folder = save(stage, 3)
    (folder / "shard.pt").write_bytes(b"STATE 3")
    manifest = read_manifest(folder)

    assert faults(folder, manifest, digests=False) == []
    assert faults(folder, manifest, digests=True) == [
        f"{folder}/shard.pt: the content is not what was saved (digest differs)"
    ]


def test_missing_file_is_a_fault(stage):
    folder = save(stage, 3)
    (folder / "shard.pt").unlink()

    assert faults(folder, read_manifest(folder), digests=False) == [
        f"{folder}/shard.pt: No such file or directory"
    ]


def test_absolute_name_points_at_a_file_elsewhere(stage, tmp_path):
    weights = tmp_path / "reused.pth"
    weights.write_bytes(b"weights")
    folder = stage.checkpoint(0, final=True)
    write_manifest(
        folder, Manifest(step=0, files=(describe(weights, str(weights)),), weights=str(weights))
    )
    manifest = read_manifest(folder)

    assert faults(folder, manifest, digests=True) == []
    assert folder / manifest.weights == weights


def test_folders_without_a_manifest_and_with_a_dot_are_no_checkpoints(stage):
    whole = save(stage, 3)
    stage.checkpoint(9).mkdir()
    save(stage, 12).rename(stage.checkpoints / ".step-00000012")

    assert checkpoint_folders(stage.checkpoints) == [whole]


def truncate(folder):
    (folder / "shard.pt").write_bytes(b"")


def lose(folder):
    (folder / "shard.pt").unlink()


def garble(folder):
    (folder / NAME).write_text('{"step": 6, "fi')


@pytest.mark.parametrize("damage", [truncate, lose, garble])
def test_damaged_newest_checkpoint_falls_back_to_the_one_before(stage, damage):
    before, newest = save(stage, 3), save(stage, 6)
    damage(newest)

    assert newest_valid(stage.checkpoints, digests=True) == (before, read_manifest(before))


def test_newest_step_wins_whichever_was_written_last(stage):
    newest = save(stage, 10)
    save(stage, 9)

    assert newest_valid(stage.checkpoints, digests=True) == (newest, read_manifest(newest))


def test_stage_without_checkpoints_has_no_newest(stage):
    assert newest_valid(stage.checkpoints, digests=True) is None


def test_final_checkpoint_marks_the_stage_done(stage):
    save(stage, 6)
    final = save(stage, 6, final=True)

    assert done_marker(stage.checkpoints, digests=True) == (final, read_manifest(final))


def test_plain_checkpoint_does_not_mark_the_stage_done(stage):
    save(stage, 6)

    assert done_marker(stage.checkpoints, digests=True) is None


def test_damaged_final_checkpoint_does_not_mark_the_stage_done(stage):
    save(stage, 6)
    truncate(save(stage, 6, final=True))

    assert done_marker(stage.checkpoints, digests=False) is None
