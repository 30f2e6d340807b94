"""A stop that comes while the clips of the next step cannot be read."""

import os
import shutil
import signal
import time

import pytest

from jobs.contract.manifest import newest_valid
from tests.jobs.running import Attempt, started

GRACE_S = 120.0
"""The hanging clips of one step alone would take twice as long; a loaded machine is slow."""
CALM_S = 4.0
"""Without a step: training waits."""


def wait_until_it_waits(attempt: Attempt) -> int:
    """Waits until what was loaded before is used up; gives the step that is done then."""
    last, since = None, time.monotonic()
    while time.monotonic() - since < CALM_S:
        if attempt.story.last_step != last:
            last, since = attempt.story.last_step, time.monotonic()
        time.sleep(0.1)
    return last


@pytest.mark.slow
def test_stop_saves_in_time_although_the_next_clips_hang(material, run, tmp_path):
    clips = tmp_path / "clips"
    shutil.copytree(material.clips, clips)
    data = [{"annotations": str(clips / "train_pairs.json")}]
    recipe = material.train("stage1", "-", data=data, epochs=1000, workers=1, read_timeout_s=30)
    recipe["train"]["checkpoint"] = {"every": 1000}
    with started(run, material.spec("s1", **recipe)) as attempt:
        attempt.wait_for("step", 1)
        for clip in clips.rglob("*"):
            if clip.suffix in (".mp4", ".webm"):
                clip.unlink()
                os.mkfifo(clip)  # nobody writes to it
        last = wait_until_it_waits(attempt)
        began = time.monotonic()
        attempt.send(signal.SIGTERM)
        attempt.wait()
        took_s = time.monotonic() - began

    saved = newest_valid(run.stage("s1").checkpoints, digests=True)[1].step
    assert (attempt.codes, attempt.story.outcome) == ([75, 75], "stopped")
    assert saved == attempt.story.last_step >= last
    assert took_s < GRACE_S
