"""What the policy rests on, shown by the real Slurm and by the model of it alike."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from launcher.cluster import SlurmCluster
from launcher.cluster.base import Cluster, JobRow, NoAnswer
from launcher.cluster.states import Meaning, is_never_satisfied, meaning
from launcher.errors import ClusterError
from tests.launcher.cluster.requests import request
from tests.launcher.model_cluster import View
from tests.launcher.model_scheduler import Scheduler


@dataclass
class Site:
    """A cluster, and how time passes there."""

    cluster: Cluster
    wait: Callable[[], None]
    folder: Path
    jobs: list[str] = field(default_factory=list)

    def submit(self, *parents: str) -> str:
        """A job that would sleep for minutes."""
        asked = request(self.folder, sleep_s=300, parents=parents)
        self.jobs.append(self.cluster.submit(asked))
        return self.jobs[-1]

    def row(self, slurm_id: str) -> JobRow:
        """The job as the queue shows it."""
        rows = self.cluster.live()
        assert not isinstance(rows, NoAnswer), rows.what
        return next(row for row in rows if row.slurm_id == slurm_id)

    def last(self, slurm_id: str) -> JobRow | None:
        """The job's last attempt as accounting has it."""
        rows = self.cluster.history([slurm_id])
        assert not isinstance(rows, NoAnswer), rows.what
        return rows[-1] if rows else None

    def until(self, condition: Callable[[], bool], *, limit_s: float = 60) -> None:
        give_up = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < give_up, "it did not happen in time"
            self.wait()

    def means(self, slurm_id: str) -> Meaning:
        row = self.row(slurm_id)
        return meaning(row.word, row.reason)


@pytest.fixture(params=["model", pytest.param("slurm", marks=pytest.mark.cluster)])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    if request.param == "slurm":
        request.getfixturevalue("slurm")
        site = Site(SlurmCluster(), lambda: time.sleep(0.2), tmp_path)
    else:
        truth = Scheduler(1e9, os.getuid())
        site = Site(View(truth), lambda: truth.advance(60), tmp_path)
    yield site
    for slurm_id in site.jobs:
        site.cluster.cancel(slurm_id)


def test_child_of_a_cancelled_parent_waits_for_ever_until_it_is_rewired(site: Site) -> None:
    parent = site.submit()
    child = site.submit(parent)
    site.until(lambda: site.means(child) is Meaning.WAITING)
    site.cluster.cancel(parent)
    site.until(lambda: is_never_satisfied(site.row(child).reason))

    other = site.submit()
    site.cluster.rewire(child, [other])

    # The real one gives no reason at all until its scheduler has looked again.
    site.until(lambda: site.row(child).reason == "Dependency")


def test_job_that_waits_for_nobody_any_more_runs(site: Site) -> None:
    child = site.submit(site.submit())
    site.until(lambda: site.means(child) is Meaning.WAITING)

    site.cluster.rewire(child, [])

    site.until(lambda: site.means(child) is Meaning.RUNNING)


def test_held_job_says_so_until_it_is_released(site: Site) -> None:
    job = site.submit(site.submit())
    site.cluster.hold(job)
    site.until(lambda: site.means(job) is Meaning.HELD)

    site.cluster.release(job)

    site.until(lambda: site.means(job) is Meaning.WAITING)


def test_accounting_names_who_cancelled_a_job_that_never_started(site: Site) -> None:
    job = site.submit(site.submit())
    site.cluster.cancel(job)

    site.until(lambda: (row := site.last(job)) is not None and row.ended_at is not None)

    row = site.last(job)
    assert row is not None
    assert (row.cancelled_by, row.started_at) == (os.getuid(), None)
    assert not site.row(job).live


def test_job_that_does_not_wait_cannot_be_rewired(site: Site) -> None:
    job = site.submit(site.submit())
    site.cluster.cancel(job)

    with pytest.raises(ClusterError):
        site.cluster.rewire(job, [])
