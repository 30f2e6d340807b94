"""A training whose disk does not take its checkpoints.

It is really full, or read-only: a small file system in memory is mounted where they go, which only
root may do. Where a limit on the length of files serves, the kernel refuses what is too long.
"""

import json
import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest

from jobs.contract.manifest import newest_valid
from tests.jobs.running import PATIENCE_S, Attempt, started

pytestmark = pytest.mark.slow
LONGEST_PAUSE_S = 2.0
"""Between two steps that are told; the disk takes nothing for longer."""
DISK = "64m"
LONGEST_FILE = 65_536
"""Bytes: events and logs are shorter, a rank's part of a checkpoint is longer."""


def limit(attempt: Attempt, size: int) -> None:
    """Sets the longest file that the ranks may write."""
    for rank in range(attempt.ranks):
        resource.prlimit(attempt.pid(rank), resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.fixture
def text(tmp_path):
    """Text alone."""
    path = tmp_path / "text.json"
    rows = [{"QA": [{"i": "", "q": f"what is {n}?", "a": f"it is {n}"}]} for n in range(64)]
    path.write_text(json.dumps(rows))
    return [{"annotations": str(path)}]


def text_stage(material, text, **checkpoint):
    """A stage that goes on for as long as a test needs."""
    recipe = material.train("language_model", "-", data=text, epochs=10_000, log_every_s=0.05)
    recipe["train"]["checkpoint"] = {"every": 2} | checkpoint
    return material.spec("lm", **recipe)


def test_run_goes_on_while_the_disk_takes_nothing_and_saves_and_tells_when_it_does(
    material, text, run
):
    spec = text_stage(material, text, max_unsaved="60s")
    with started(run, spec) as attempt:
        attempt.wait_for("checkpoint", 2)
        limit(attempt, 0)
        time.sleep(3)
        limit(attempt, resource.RLIM_INFINITY)
        attempt.wait_until(lambda: attempt.events("save_failed"))
        (failed, *_) = attempt.events("save_failed")
        attempt.wait_for("step", failed.fields["step"] + 4)
        attempt.send(signal.SIGTERM)
        attempt.wait()

    _, manifest = newest_valid(run.stage("lm").checkpoints, digests=True)
    times = [event.at for event in attempt.events("step")]
    assert failed.fields["error"].endswith("File too large")
    assert max(after - before for before, after in pairwise(times)) < LONGEST_PAUSE_S
    assert attempt.codes == [75, 75]
    assert manifest.step == attempt.story.last_step > failed.fields["step"]


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    mount("-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def mount(*words: str | Path) -> None:
    """Calls mount, again while a file is open on what is made read-only."""
    ends_at = time.monotonic() + PATIENCE_S
    while (done := subprocess.run(["mount", *words], check=False, capture_output=True)).returncode:
        assert time.monotonic() < ends_at, done.stderr
        time.sleep(0.01)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Leaves no room on the disk of a folder."""
    ballast = folder / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    yield
    ballast.unlink()


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Lets nobody write to the disk of a folder."""
    mount("-o", "remount,ro", folder)
    yield
    mount("-o", "remount,rw", folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
@pytest.mark.parametrize(
    ("refusing", "words"),
    [(full, "No space left on device"), (read_only, "Read-only file system")],
)
def test_run_goes_on_beside_a_disk_that_refuses_and_saves_when_it_takes_more(
    material, text, run, refusing, words
):
    folder = run.stage("lm").checkpoints
    spec = text_stage(material, text, max_unsaved="60s")
    with small_disk(folder), started(run, spec) as attempt:
        attempt.wait_for("checkpoint", 2)
        with refusing(folder):
            attempt.wait_until(lambda: attempt.events("save_failed"))
            (failed, *_) = attempt.events("save_failed")
            attempt.wait_for("step", failed.fields["step"] + 4)
            safe = newest_valid(folder, digests=True)[1].step
        attempt.wait_for("checkpoint", failed.fields["step"])
        attempt.send(signal.SIGTERM)
        attempt.wait()
        last = newest_valid(folder, digests=True)[1].step

    assert words in failed.fields["error"]
    assert 2 <= safe <= failed.fields["step"] < last == attempt.story.last_step
    assert attempt.codes == [75, 75]


def test_run_stops_before_more_is_unsaved_than_it_may_be(material, text, run):
    spec = text_stage(material, text, max_unsaved="4s")
    with started(run, spec) as attempt:
        attempt.wait_for("checkpoint", 2)
        limit(attempt, LONGEST_FILE)
        attempt.wait()
    safe = newest_valid(run.stage("lm").checkpoints, digests=True)[1].step

    assert (attempt.codes, attempt.story.outcome) == ([75, 75], "stopped")
    assert len(attempt.events("save_failed")) >= 2
    with started(run, spec) as resumed:
        resumed.wait_for("step", safe + 1)
        assert resumed.story.first_step == safe


def test_run_stops_when_the_disk_hangs_for_longer_than_may_be_unsaved(material, text, run):
    spec = text_stage(material, text, max_unsaved="4s", every=50)
    with started(run, spec) as attempt:
        for step in range(1, 51):  # on a slow machine the first save is due before step 50
            name = f".step-{step:08d}.{attempt.key}.fence-1"
            hanging = run.stage("lm").checkpoints / name / "state-00001-of-00002.safetensors"
            hanging.parent.mkdir(parents=True)
            os.mkfifo(hanging)  # opening it to write waits for somebody who reads
        attempt.wait()

    assert (attempt.codes, attempt.story.outcome) == ([75, 75], "stopped")
    assert attempt.story.last_step > 1
    assert attempt.story.message.endswith("the disk takes no checkpoint; step 0 is safe")
    assert attempt.events("checkpoint") == attempt.events("save_failed") == []
