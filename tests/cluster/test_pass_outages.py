"""Passes while something is away: a node, the controller, checkpoints."""

import time
from pathlib import Path

import pytest

from launcher.cluster import SlurmCluster
from launcher.errors import ClusterError
from tests.cluster.followed import (
    Followed,
    begin_requeue,
    cancel_all,
    ended,
    live_jobs,
    newest_step,
    on_slurm,
    submitting,
    tokens,
)
from tests.cluster.slurm_cluster import SlurmCluster as Daemons
from tests.launcher.pretend_faults import Faulting, kept, sliced
from tests.launcher.worlds import states, submit_run

pytestmark = pytest.mark.cluster


@pytest.mark.slow  # SlurmdTimeout is 30 s
def test_run_goes_on_when_a_node_died_and_came_back(slurm: Daemons, tmp_path: Path) -> None:
    make = sliced(steps=5000, step_s=0.5, every=2)  # more than it comes to on any machine
    pipeline = on_slurm(tmp_path, "cluster.nodes=4", partition="preempt")
    run = submitting(pipeline, Faulting(SlurmCluster(), make=make))
    run.until_saved("second", 4)
    [attempt] = run.rows["second"].attempts

    slurm.kill_node("node4")
    try:
        run.until(lambda _: run.rows["second"].attempts[0].ended_at is not None, limit_s=60)
        saved = newest_step(run.folder("second"))
    finally:
        slurm.start_node("node4")
    run.until(lambda now: now["second"] == "running", limit_s=60)
    run.until_saved("second", saved + 2)
    run.pass_once()  # the last one may have looked before the first step

    attempts = run.rows["second"].attempts
    assert [(a.slurm_id, a.restart, a.cause) for a in attempts] == [
        (attempt.slurm_id, 0, "node failure"),
        (attempt.slurm_id, 1, None),
    ]
    assert attempts[1].first_step == saved
    assert attempts[0].steps_lost in (0, 1)
    assert states(run.ledger)["middle"] == "waiting"
    cancel_all()


def test_pass_without_a_controller_changes_nothing_and_the_next_one_goes_on(
    slurm: Daemons, tmp_path: Path
) -> None:
    run = submitting(on_slurm(tmp_path), Faulting(SlurmCluster(), make=sliced(slice_steps=2)))
    slurm.wait(lambda: newest_step(run.folder("second")) == 2, "the first slice is over")
    before = states(run.ledger)

    slurm.stop_controller()
    try:
        down = ended(begin_requeue(run.pipeline))
    finally:
        slurm.start_controller()
    degraded = run.last_pass
    slurm.hang_controller()
    try:
        hung = ended(begin_requeue(run.pipeline))
    finally:
        slurm.resume_controller()
    after = states(run.ledger)
    run.until_done()

    assert (down[0], hung[0]) == (3, 3)
    assert "Unable to contact slurm controller" in down[2]
    assert degraded is not None
    assert (degraded.degraded, degraded.did) == (True, [])
    assert after == before
    assert [s.rule for s in run.rows["second"].submissions] == [None, "stopped"]


@pytest.mark.parametrize("outage", ["down", "hung"])
def test_run_submitted_without_a_controller_is_handed_over_by_the_next_passes(
    slurm: Daemons, tmp_path: Path, outage: str
) -> None:
    pipeline, cluster = on_slurm(tmp_path), Faulting(SlurmCluster(sbatch_timeout_s=8))
    (slurm.stop_controller if outage == "down" else slurm.hang_controller)()
    try:
        with pytest.raises(ClusterError, match="status --run"):
            submit_run(pipeline, cluster)
    finally:
        (slurm.start_controller if outage == "down" else slurm.resume_controller)()
    run = Followed(pipeline, cluster)
    run.pass_once()
    early = [s.fence for s in run.rows["second"].submissions]
    run.ahead_s = 130.0  # as long as an answer may take
    run.until_done()

    # Whether a frozen controller took the job after all, only its name in the queue can say.
    later = [(s.fence, s.rule) for s in run.rows["second"].submissions]
    assert early == [1]
    assert later == [(1, None), (2, "no-such-job")] or (outage, later) == ("hung", [(1, None)])
    jobs = [s.slurm_id for row in run.rows.values() for s in row.submissions if s.slurm_id]
    assert len(jobs) == 3
    names = slurm.run("squeue", "-h", "-t", "all", "-o", "%j").split()
    assert sum(name.rpartition(".")[2] in tokens(run.ledger) for name in names) == 3


def test_damaged_checkpoint_is_passed_over_and_none_left_holds_the_stage(
    slurm: Daemons, tmp_path: Path
) -> None:
    cluster = Faulting(SlurmCluster(), make=kept(steps=8, slice_steps=3, every=1))
    run = submitting(on_slurm(tmp_path), cluster)
    slurm.wait(lambda: newest_step(run.folder("second")) == 3, "the first slice is over")
    checkpoints = run.folder("second").checkpoints
    (checkpoints / "step-00000003" / "state.json").write_text("{")

    run.until(lambda _: len(run.rows["second"].submissions) == 2)
    slurm.wait(lambda: newest_step(run.folder("second")) == 5, "the second slice")
    slurm.wait(lambda: not _is_running(run), "the second slice is over")
    for state in checkpoints.glob("*/state.json"):
        state.write_text("{")
    run.until(lambda now: now["second"] == "held")
    held = run.rows["second"]
    time.sleep(1)
    run.pass_once()

    first, second = held.attempts
    assert (first.first_step, second.first_step) == (0, 2)
    assert held.rule == "checkpoints-damaged"
    assert "launcher resume" in (held.why or "")
    assert len(run.rows["second"].submissions) == 2
    assert newest_step(run.folder("second")) == 5
    cancel_all()


def _is_running(run: Followed) -> bool:
    known = {s.slurm_id for s in run.rows["second"].submissions}
    return any(row.slurm_id in known for row in live_jobs())
