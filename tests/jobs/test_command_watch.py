"""Manifests of what a foreign program saves: when they are made, and when they go."""

import os
import time

import pytest

from jobs.command.foreign import step_of
from jobs.command.watch import Watch
from jobs.contract.command import Watched
from jobs.contract.manifest import Manifest, faults, read_manifest
from jobs.contract.paths import StageFolder

LIMIT_S = 20


def make_watch(folder, **watched):
    """A watch over `folder / "out"`."""
    spec = Watched.model_validate({"glob": "out/ckpt-*"} | watched)
    usual = Manifest(step=0, files=(), world_size=2, code_sha="abc")
    return Watch(StageFolder(folder / "stage"), spec, str(folder / spec.glob), usual)


def save(folder, step, text="weights", name="model.bin"):
    """A checkpoint of one file, or one more file of it."""
    path = folder / "out" / f"ckpt-{step}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path.parent


def look_until_kept(watch, steps):
    """Looks until these are the checkpoints that count; gives those that were told."""
    told, ends_at = [], time.monotonic() + LIMIT_S
    while [saved.manifest.step for saved in watch.kept()] != steps:
        assert time.monotonic() < ends_at, watch.kept()
        told += watch.look()
        time.sleep(0.01)
    return told


def names(folder):
    return sorted(path.name for path in (folder / "stage" / "checkpoints").glob("step-*"))


def test_checkpoint_gets_a_manifest_with_absolute_names_and_digests(tmp_path):
    source = save(tmp_path, 7)
    watch = make_watch(tmp_path)

    (saved,) = look_until_kept(watch, [7])

    assert saved.folder == tmp_path / "stage" / "checkpoints" / "step-00000007"
    assert (saved.manifest.source, saved.manifest.world_size) == (str(source), 2)
    assert [file.name for file in saved.manifest.files] == [str(source / "model.bin")]
    assert faults(saved.folder, saved.manifest, digests=True) == []
    assert [path.name for path in saved.folder.iterdir()] == ["manifest.json"]


def test_checkpoint_that_still_changes_does_not_count(tmp_path):
    watch = make_watch(tmp_path, digest=False)
    told = []

    for size in range(1, 5):
        save(tmp_path, 7, "x" * size)
        told += watch.look()

    assert told == []
    assert [saved.manifest.bytes for saved in watch.look()] == [4]


@pytest.mark.parametrize("marker", ["done.txt", "*.txt"])
def test_checkpoint_counts_once_the_program_says_that_it_is_complete(tmp_path, marker):
    watch = make_watch(tmp_path, complete_when=marker, digest=False)
    save(tmp_path, 7)
    before = [*watch.look(), *watch.look()]

    save(tmp_path, 7, name="done.txt")
    after = [*watch.look(), *watch.look()]

    assert (before, [saved.manifest.step for saved in after]) == ([], [7])


def test_checkpoint_does_not_count_while_the_program_says_that_it_is_incomplete(tmp_path):
    watch = make_watch(tmp_path, incomplete_when="busy", digest=False)
    save(tmp_path, 7, name="busy")
    before = [*watch.look(), *watch.look()]

    (save(tmp_path, 7) / "busy").unlink()
    after = [*watch.look(), *watch.look()]

    assert (before, [saved.manifest.step for saved in after]) == ([], [7])


def test_single_file_is_a_checkpoint_too(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "ckpt-03.pth").write_text("weights")
    watch = make_watch(tmp_path)

    (saved,) = look_until_kept(watch, [3])

    assert saved.manifest.source == str(tmp_path / "out" / "ckpt-03.pth")


def test_manifest_goes_with_the_files_that_the_program_removes(tmp_path):
    watch = make_watch(tmp_path, digest=False)
    old, _ = save(tmp_path, 7), save(tmp_path, 8)
    look_until_kept(watch, [8, 7])

    (old / "model.bin").unlink()
    watch.look()

    assert names(tmp_path) == ["step-00000008"]


def test_checkpoint_that_is_saved_anew_gets_a_new_manifest(tmp_path):
    watch = make_watch(tmp_path)
    save(tmp_path, 7)
    (first,) = look_until_kept(watch, [7])

    save(tmp_path, 7, "WEIGHTS")
    watch.look()
    assert watch.kept() == []
    (second,) = look_until_kept(watch, [7])

    assert first.manifest.files[0].sha256 != second.manifest.files[0].sha256


def test_later_attempt_keeps_the_manifests_of_an_earlier_one(tmp_path):
    save(tmp_path, 7)
    (first,) = look_until_kept(make_watch(tmp_path), [7])
    later = make_watch(tmp_path)

    told = [*later.look(), *later.look(), *later.settle(at_rest=True, ends_at=None)]

    assert (told, later.kept()) == ([], [first])


def test_checkpoint_that_an_earlier_attempt_saved_anew_before_it_died_is_recorded_anew(tmp_path):
    path = save(tmp_path, 7) / "model.bin"
    look_until_kept(make_watch(tmp_path), [7])
    path.write_text("WEIGHTS")
    later_ns = time.time_ns() + 10**9
    os.utime(path, ns=(later_ns, later_ns))

    (saved,) = make_watch(tmp_path).settle(at_rest=True, ends_at=None)

    assert faults(saved.folder, saved.manifest, digests=True) == []


def test_file_that_shrank_without_being_saved_is_damage_and_stays_recorded_as_it_was(tmp_path):
    path = save(tmp_path, 7) / "model.bin"
    (saved,) = look_until_kept(make_watch(tmp_path), [7])
    stat = path.stat()
    path.write_text("we")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    later = make_watch(tmp_path)

    told = later.settle(at_rest=True, ends_at=None)

    assert (told, later.kept(), read_manifest(saved.folder)) == ([], [], saved.manifest)


def test_what_a_killed_program_was_writing_does_not_count(tmp_path):
    watch = make_watch(tmp_path)
    save(tmp_path, 7)

    assert watch.settle(at_rest=False, ends_at=None) == []


def test_what_a_killed_program_called_complete_counts(tmp_path):
    watch = make_watch(tmp_path, complete_when="done.txt")
    save(tmp_path, 7)
    save(tmp_path, 7, name="done.txt")

    (saved,) = watch.settle(at_rest=False, ends_at=None)

    assert all(file.sha256 for file in saved.manifest.files)


def test_sizes_alone_are_recorded_when_there_is_no_time_for_digests(tmp_path):
    watch = make_watch(tmp_path)
    source = save(tmp_path, 7)
    with (source / "model.bin").open("wb") as file:
        file.truncate(1 << 33)  # takes many seconds to read, and no space

    (saved,) = watch.settle(at_rest=True, ends_at=time.monotonic() + 0.1)

    assert [(file.bytes, file.sha256) for file in saved.manifest.files] == [(1 << 33, "")]
    assert faults(saved.folder, saved.manifest, digests=True) == []


@pytest.mark.parametrize(
    ("regex", "name", "step"),
    [
        (r"(\d+)", "checkpoint-500", 500),
        (r"(\d+)", "step-100/model.pt", 100),
        (r"(\d+)", "ckpt_latest.pth", None),
        (r"step(\d+)", "step7/v2.pt", 7),
        (r"-(\w+)", "ckpt-best", None),
    ],
)
def test_step_is_the_last_match_in_the_name(regex, name, step):
    assert step_of(Watched(step_regex=regex), name) == step


def test_numbers_above_the_checkpoints_are_no_steps(tmp_path):
    folder = tmp_path / "run-2026"
    (folder / "out" / "ckpt-latest").mkdir(parents=True)
    (folder / "out" / "ckpt-latest" / "model.bin").write_text("weights")

    assert make_watch(folder).complete() == []
