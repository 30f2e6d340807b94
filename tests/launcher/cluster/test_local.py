"""What only jobs on this machine do."""

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from launcher.cluster import LocalCluster


class Started:
    """submitit's job, as far as it is asked; every one has a token of its own.

    Args:
        script: What its controller does; `CONTROLLER` in it becomes the words that show it.
    """

    def __init__(self, script: str) -> None:
        self.token = f"t{secrets.token_hex(5)}"
        shown = f"submitit.local._local /runs/stages/second/submitit/{self.token}"
        words = ["sh", "-c", script.replace("CONTROLLER", shown)]
        self.process = subprocess.Popen(words, start_new_session=True)

    def done(self) -> bool:
        return self.process.poll() is not None


@pytest.fixture
def late() -> Iterator[Started]:
    """One that has no command line of its own for a second."""
    made = Started("sleep 1; exec sh -c 'sleep 20; :' sh CONTROLLER")
    yield made
    os.killpg(made.process.pid, signal.SIGKILL)
    made.process.wait()


def names(cluster: LocalCluster, job: Started) -> list[str]:
    """The names under which a job is live: other tests have jobs on this machine, too."""
    return [row.name for row in cluster.live() if row.slurm_id == job.token]


def test_job_that_shows_itself_late_is_live_and_nobody_waits_for_its_end(late):
    cluster = LocalCluster({late.token: late})

    began = time.monotonic()
    found = names(cluster, late)

    # While a shell starts a program there are two of it.
    assert set(found) == {f"second.{late.token}"}
    assert time.monotonic() - began < 15


def test_job_that_shows_itself_late_is_not_called_gone(late):
    assert list(LocalCluster({late.token: late}).history([late.token])) == []


def test_job_that_has_ended_before_anybody_saw_it_is_gone():
    ended = Started("exit 0")
    cluster = LocalCluster({ended.token: ended})

    assert names(cluster, ended) == []
    assert [row.word for row in cluster.history([ended.token])] == ["GONE"]
