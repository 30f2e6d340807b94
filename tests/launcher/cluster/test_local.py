"""What only jobs on this machine do."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from launcher.cluster import LocalCluster

FOLDER = "/runs/stages/second/submitit/t1"
STARTS_SLOWLY = f"sleep 1; exec sh -c 'sleep 20; :' sh submitit.local._local {FOLDER}"
"""A controller that has no command line of its own for a second."""


class Started:
    """submitit's job, as far as it is asked."""

    def __init__(self, script: str) -> None:
        self.process = subprocess.Popen(["sh", "-c", script], start_new_session=True)

    def done(self) -> bool:
        return self.process.poll() is not None


@pytest.fixture
def job() -> Iterator[Started]:
    made = Started(STARTS_SLOWLY)
    yield made
    os.killpg(made.process.pid, signal.SIGKILL)
    made.process.wait()


def test_job_that_shows_itself_late_is_live_and_nobody_waits_for_its_end(job):
    cluster = LocalCluster({"t1": job})

    began = time.monotonic()
    live = cluster.live()

    assert [(row.slurm_id, row.name) for row in live] == [("t1", "second.t1")]
    assert time.monotonic() - began < 10


def test_job_that_shows_itself_late_is_not_called_gone(job):
    assert list(LocalCluster({"t1": job}).history(["t1"])) == []


def test_job_that_has_ended_before_anybody_saw_it_is_gone():
    ended = Started("exit 0")
    cluster = LocalCluster({"t1": ended})

    assert list(cluster.live()) == []
    assert [row.word for row in cluster.history(["t1"])] == ["GONE"]
