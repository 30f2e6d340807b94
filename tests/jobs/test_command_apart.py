"""Programs of ranks that end apart: waited for as long as they live and say something."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobs.command.pulse import Pulse, beating
from jobs.command.steps import Steps
from jobs.contract.command import Progress
from jobs.contract.events import read_events
from jobs.contract.manifest import done_marker
from jobs.contract.paths import RunFolder
from jobs.contract.story import AttemptStory, read_story
from tests.jobs.apart import SHORT
from tests.jobs.paper import paper_job

ROOT = Path(__file__).parents[2]
LONG_S = 4 * SHORT.still_s
PROGRAM = """
import os, sys, time
rank, first, ends, talks = os.environ["RANK"], *sys.argv[1:]
if rank == first:
    print("the first is done", flush=True)
    sys.exit(0)
ends_at = time.monotonic() + float(ends)
while time.monotonic() < ends_at:
    time.sleep(0.2)
    if talks == "talks":
        print("at work", flush=True)
"""
"""One rank ends at once, the other after some seconds, in which it talks or does not."""


@dataclass
class Ranks:
    """Two ranks under way."""

    folder: RunFolder
    processes: list[subprocess.Popen]

    @property
    def codes(self) -> list[int]:
        return [process.wait(timeout=180) for process in self.processes]

    @property
    def story(self) -> AttemptStory:
        job = paper_job(self.folder)
        return read_story(job.folder.events_file(job.place.attempt))

    def wait_for(self, rank: int, word: str) -> None:
        """Waits until a rank's log holds a word."""
        job = paper_job(self.folder)
        log = job.folder.log_file(job.place.attempt, rank)
        ends_at = time.monotonic() + 60
        while not (log.exists() and word in log.read_text()):
            assert time.monotonic() < ends_at
            time.sleep(0.05)


@contextmanager
def started(folder: Path, *options: object) -> Iterator[Ranks]:
    """Both ranks of the program; they do not outlive the block."""
    script = folder / "program.py"
    script.write_text(PROGRAM)
    argv = ["{python}", str(script), *map(str, options)]
    command = {"argv": argv, "cwd": str(folder), "checkpoints": "none", "stop": {"grace_s": 20}}
    words = [sys.executable, "-m", "tests.jobs.apart", str(folder / "run")]
    ranks = [
        subprocess.Popen([*words, str(rank), json.dumps(command)], cwd=ROOT) for rank in range(2)
    ]
    try:
        yield Ranks(RunFolder(folder / "run"), ranks)
    finally:
        for process in ranks:
            process.kill()
            process.wait()


@pytest.mark.parametrize("first", [0, 1])
def test_rank_that_talks_is_waited_for_whichever_has_ended_first(tmp_path, first):
    began = time.monotonic()

    with started(tmp_path, first, LONG_S, "talks") as ranks:
        codes = ranks.codes

    assert time.monotonic() - began > LONG_S
    assert (codes, ranks.story.outcome) == ([0, 0], "done")
    assert done_marker(ranks.folder.stage("s1").checkpoints, digests=True) is not None


@pytest.mark.parametrize("first", [0, 1])
def test_rank_that_says_nothing_after_the_end_of_another_hangs_and_is_ended(tmp_path, first):
    with started(tmp_path, first, 600, "is silent") as ranks:
        codes = ranks.codes

    assert (codes, ranks.story.outcome, ranks.story.error) == ([1, 1], "failed", "HungError")
    assert "said nothing for 0.05 min since that of another rank ended" in ranks.story.message


@pytest.mark.parametrize("first", [0, 1])
def test_rank_that_dies_without_a_report_is_noticed(tmp_path, first):
    with started(tmp_path, first, 600, "talks") as ranks:
        ranks.wait_for(first, "the first is done")
        ranks.wait_for(1 - first, "at work")
        ranks.processes[1 - first].kill()
        code = ranks.processes[first].wait(timeout=180)

    assert code == 1
    if first == 0:  # else nobody is left to tell it
        assert ranks.story.outcome == "failed"
        assert "rank 1 is gone, and has not said why" in ranks.story.message


@pytest.mark.parametrize("told", [0, 1])
def test_rank_that_has_ended_passes_the_signal_on_to_the_one_that_has_not(tmp_path, told):
    with started(tmp_path, told, 600, "talks") as ranks:
        ranks.wait_for(told, "the first is done")
        ranks.wait_for(1 - told, "at work")
        ranks.processes[told].send_signal(signal.SIGTERM)
        codes = ranks.codes

    assert (codes, ranks.story.outcome) == ([75, 75], "stopped")


def test_pulse_stops_with_the_process_that_it_shows(tmp_path):
    path = tmp_path / "alive"
    patient = Pulse(path, silent_s=10, absent_s=10, look_s=100)
    with beating(path, every_s=0.05):
        beats = []
        for _ in range(10):
            time.sleep(0.05)
            beats.append(patient.has_stopped())
    time.sleep(0.2)
    pulse = Pulse(path, silent_s=0.3, absent_s=10, look_s=100)

    looks = [pulse.has_stopped()]
    time.sleep(0.5)
    looks.append(pulse.has_stopped())

    assert (beats, looks) == ([False] * 10, [False, True])


def test_who_could_not_look_for_a_while_has_seen_no_silence(tmp_path):
    (tmp_path / "alive").touch()
    pulse = Pulse(tmp_path / "alive", silent_s=0.5, absent_s=10, look_s=0.1)
    pulse.has_stopped()
    time.sleep(1)

    assert [pulse.has_stopped() for _ in range(3)] == [False] * 3


def test_disk_that_does_not_say_is_no_silence(tmp_path):
    (tmp_path / "alive").symlink_to("alive")  # an error to open, and not one of being away
    pulse = Pulse(tmp_path / "alive", silent_s=0.1, absent_s=0.1, look_s=100)
    time.sleep(0.3)

    assert not pulse.has_stopped()


def test_process_that_never_shows_itself_has_stopped_in_the_end(tmp_path):
    pulse = Pulse(tmp_path / "alive", silent_s=60, absent_s=0.2, look_s=100)

    time.sleep(0.3)

    assert pulse.has_stopped()


def told_steps(job) -> list[int]:
    """The steps that were told as events."""
    path = job.folder.events_file(job.place.attempt)
    return [event.fields["step"] for event in read_events(path) if event.kind == "step"]


def test_step_that_takes_long_is_told_again_while_its_lines_differ(tmp_path):
    job = paper_job(RunFolder(tmp_path), told=True)
    steps = Steps(job, Progress(match=(r"(?P<step>\d+) clips",), every_s=1e-9), 0, again_s=1e-9)
    steps.read(["3 clips, 10 frames"])

    steps.read(["3 clips, 10 frames"])
    same = told_steps(job)
    steps.read(["3 clips, 20 frames"])

    assert (same, told_steps(job)) == ([3], [3, 3])


def test_step_is_told_again_now_and_then_only(tmp_path):
    job = paper_job(RunFolder(tmp_path), told=True)
    steps = Steps(job, Progress(match=(r"(?P<step>\d+) clips",), every_s=1e-9), 0, again_s=1e9)

    steps.read([f"3 clips, {frames} frames" for frames in range(9)])
    steps.tell_again()

    assert told_steps(job) == [3]
