"""`submit` and passes killed with SIGKILL at every kind of line, on the real Slurm."""

import random
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from launcher.cluster import SlurmCluster
from tests.cluster.followed import assert_one_job_a_stage, live_jobs, on_slurm
from tests.cluster.slurm_cluster import SlurmCluster as Daemons
from tests.launcher.crashing import Crashing, Faults, faults_of
from tests.launcher.pretend_faults import Faulting, sliced

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
CRASHES = 50
AT_SUBMIT = 5
"""At least so many of them just before or after a job is submitted."""
RUNS = 3
SETTINGS = ("requeue.hang=10h", "requeue.storm=1000")


@dataclass
class Ahead:
    """A clock that each look puts further ahead: what an answer is waited for is over sooner."""

    by_s: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.by_s


def test_killed_launchers_leave_no_job_twice_and_none_unknown(
    slurm: Daemons, tmp_path: Path
) -> None:
    first = int(slurm.submit("--output=/dev/null", "--wrap=true"))
    cluster = Faulting(SlurmCluster(), make=sliced(steps=2, slice_steps=1))
    clock, chance = Ahead(), random.Random(11)
    crashing = Crashing(on_slurm(tmp_path, *SETTINGS), cluster, clock)

    while crashing.crashes.total() < CRASHES or at_submit(crashing) < AT_SUBMIT:
        is_new = len(crashing.states()) < 4 * RUNS or crashing.done()
        crashing.crash("submit" if is_new else "pass", chance, within_s=0.4)
        clock.by_s += 40
        assert_one_job_a_stage(crashing.ledger)
    give_up = time.monotonic() + 240
    while not crashing.done():
        crashing.run("pass")
        clock.by_s += 40
        assert_one_job_a_stage(crashing.ledger)
        assert time.monotonic() < give_up, (crashing.states(), crashing.said)

    assert faults_of(crashing.ledger, jobs_after(slurm, first)) == Faults()
    assert crashing.said == []
    slurm.wait(lambda: not live_jobs(), "no job is left")


def at_submit(crashing: Crashing) -> int:
    """How many crashes there were beside a submission."""
    return crashing.crashes["before submit"] + crashing.crashes["after submit"]


def jobs_after(slurm: Daemons, first: int) -> list[tuple[str, str]]:
    """Slurm id and name of every job that was submitted after this one."""
    told = slurm.run("squeue", "-h", "-t", "all", "-o", "%i|%j").splitlines()
    jobs = [line.partition("|") for line in told]
    return [(slurm_id, name) for slurm_id, _, name in jobs if int(slurm_id) > first]
