"""Jobs that Slurm has given up and that live on: they save nothing beside their successors."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobs.contract.exits import REFUSED
from jobs.contract.manifest import sha256_of
from jobs.contract.paths import AttemptKey
from jobs.contract.story import read_story
from launcher.cluster import SlurmCluster
from tests.cluster.followed import Followed, cancel_all, newest_step, on_slurm, submitting
from tests.cluster.processes import Process, processes_of, send
from tests.cluster.slurm_cluster import SlurmCluster as Daemons
from tests.launcher.pretend_faults import Faulting, kept

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def test_zombie_of_an_older_submission_or_attempt_saves_nothing_and_exits_93(
    slurm: Daemons, tmp_path: Path
) -> None:
    make = kept(steps=60, step_s=0.4, every=1)
    runs = []
    for name, requeue in (("resubmitted", False), ("requeued", True)):
        (tmp_path / name).mkdir()
        cluster = Faulting(SlurmCluster(), make=make, requeue=requeue)
        runs.append(submitting(on_slurm(tmp_path / name), cluster))
    for run in runs:
        run.until_saved("second", 1)
    nodes = {run.rows["second"].attempts[0].nodes or "" for run in runs}

    with cut_off(slurm, nodes) as zombies:
        saved = [newest_step(run.folder("second")) for run in runs]
        for run, step in zip(runs, saved, strict=True):
            run.until_saved("second", step + 2)
        before = [files_of(run) for run in runs]
        send(zombies, signal.SIGCONT)
        ends = [AttemptKey(run.rows["second"].attempts[0].slurm_id, 0) for run in runs]
        told = [run.folder("second").events_file(end) for run, end in zip(runs, ends, strict=True)]
        slurm.wait(lambda: all(read_story(path).outcome for path in told), "the zombies end")

    stories = [read_story(path) for path in told]
    assert [(s.outcome, s.exit_code, s.fault) for s in stories] == [
        ("refused", REFUSED, "fenced")
    ] * 2
    assert [s.saved_step for s in stories] == saved
    assert "submission than number 1" in (stories[0].message or "")
    assert f"newer attempt of this job than {ends[1]}" in (stories[1].message or "")
    for run, files in zip(runs, before, strict=True):
        now = files_of(run)
        assert {name: now.get(name) for name in files} == files
    assert [[(s.fence, s.rule) for s in run.rows["second"].submissions] for run in runs] == [
        [(1, None), (2, "node-failure")],
        [(1, None)],
    ]
    cancel_all()


@contextmanager
def cut_off(slurm: Daemons, nodes: set[str]) -> Iterator[list[Process]]:
    """Nodes that Slurm calls down, while the processes of their jobs sleep; gives those."""
    send(jobs_on(nodes), signal.SIGSTOP)
    sleepers = jobs_on(nodes)
    try:
        for node in nodes:
            slurm.kill_node(node, keep_jobs=True)
            slurm.run("scontrol", "update", f"nodename={node}", "state=down", "reason=lost")
        yield sleepers
    finally:
        send(jobs_on(nodes), signal.SIGKILL)
        for node in nodes:
            slurm.start_node(node)


def jobs_on(nodes: set[str]) -> list[Process]:
    """The processes of jobs on these nodes."""
    found = processes_of(Path(os.environ["SLURM_CONF"]))
    return [process for process in found if process.node in nodes]


def files_of(run: Followed) -> dict[str, str]:
    """The files of all visible checkpoints, with their digests."""
    root = run.folder("second").checkpoints
    return {str(p.relative_to(root)): sha256_of(p) for p in root.glob("step-*/*")}
