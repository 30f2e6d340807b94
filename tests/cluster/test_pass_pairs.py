"""Two passes at once: one acts, and none that was replaced in its sleep writes any more."""

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from db.schema import Lease
from launcher.acting import LEASE_S, lease_name
from launcher.cluster import SlurmCluster
from tests.cluster.followed import (
    Followed,
    begin_requeue,
    cancel_all,
    ended,
    newest_step,
    on_slurm,
    submitting,
)
from tests.cluster.slurm_cluster import SlurmCluster as Daemons
from tests.launcher.pretend_faults import Faulting, sliced

pytestmark = pytest.mark.cluster


def interrupted(slurm: Daemons, folder: Path) -> Followed:
    """A run whose first job has stopped and must be submitted again."""
    cluster = Faulting(SlurmCluster(), make=sliced(slice_steps=2))
    run = submitting(on_slurm(folder), cluster)
    slurm.wait(lambda: newest_step(run.folder("second")) == 2, "the first slice is over")
    slurm_id = run.rows["second"].submissions[0].slurm_id or ""
    slurm.wait_for_state(slurm_id, "FAILED")
    return run


def holder(run: Followed) -> int:
    """The process that may act; 0: none."""
    with run.ledger.read() as session:
        lease = session.get(Lease, lease_name())
        return lease.pid if lease is not None else 0


def dump(run: Followed) -> list[str]:
    """All that the ledger holds."""
    with closing(sqlite3.connect(run.pipeline.runs / "ledger.db")) as ledger:
        return list(ledger.iterdump())


def test_second_of_two_passes_at_once_says_who_is_acting(slurm: Daemons, tmp_path: Path) -> None:
    run = interrupted(slurm, tmp_path)

    slurm.hang_controller()  # the first waits for squeue
    try:
        first = begin_requeue(run.pipeline)
        slurm.wait(lambda: holder(run) == first.pid, "the first pass holds the lease")
        second = ended(begin_requeue(run.pipeline))
    finally:
        slurm.resume_controller()
    acted = ended(first)

    assert second[0] == acted[0] == 0
    assert f"process {first.pid} on" in second[2]
    assert "is acting on this ledger" in second[2]
    assert [s.rule for s in run.rows["second"].submissions] == [None, "stopped"]
    assert holder(run) == 0
    cancel_all()


def test_pass_that_was_replaced_in_its_sleep_writes_nothing(slurm: Daemons, tmp_path: Path) -> None:
    run = interrupted(slurm, tmp_path)

    slurm.hang_controller()
    try:
        sleeper = begin_requeue(run.pipeline)
        slurm.wait(lambda: holder(run) == sleeper.pid, "the pass holds the lease")
        os.kill(sleeper.pid, signal.SIGSTOP)
    finally:
        slurm.resume_controller()
    run.ahead_s = LEASE_S + 10
    run.pass_once()
    before = dump(run)
    os.kill(sleeper.pid, signal.SIGCONT)
    code, _, said = ended(sleeper)

    assert run.rules[0] == ("second", "stopped")
    assert code == 4
    assert "taken over" in said
    assert dump(run) == before
    run.until_done()
    assert len(run.rows["second"].submissions) == 2
