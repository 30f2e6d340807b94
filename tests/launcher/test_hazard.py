"""What the launcher tells a job of the interruptions so far."""

from pathlib import Path

import pytest

from db.endings import Ending, endings
from db.schema import Attempt
from jobs.contract.events import EventWriter
from jobs.contract.hazard import USUAL_S, Hazard, read_hazard
from jobs.contract.paths import AttemptKey, StageFolder
from launcher.cluster.base import JobRequest
from launcher.hazard import hazard_of, lost_work, observed
from tests.launcher.paper import Paper
from tests.launcher.steered import World, world
from tests.launcher.worlds import (
    make_pipeline,
    open_ledger,
    stage_rows,
    submit_run,
)

__all__ = ["world"]


def attempt(**fields) -> Attempt:
    """An attempt of an hour that took steps and ended."""
    known = {
        "submission_id": 1,
        "stage_run_id": 1,
        "cluster": "slurm",
        "slurm_id": "7",
        "restart": 0,
        "state": "COMPLETED",
        "first_step": 0,
        "wall_clock_s": 3600.0,
        "ended_at": 5000.0,
    }
    return Attempt(**(known | fields))


@pytest.mark.parametrize(
    ("fields", "lost"),
    [
        ({"cause": "node failure"}, True),
        ({"cause": "preemption"}, True),
        ({"cause": None, "state": "REQUEUED"}, True),
        ({"cause": "hang", "steps_lost": 12}, True),
        ({"cause": "out of memory", "exit_kind": "failed"}, True),
        ({"cause": "failure", "exit_kind": "failed", "steps_lost": 0}, True),
        ({"cause": "preemption", "exit_kind": "stopped", "steps_lost": 3}, True),
        ({"cause": "preemption", "exit_kind": "stopped", "steps_lost": 0}, False),
        ({"cause": "time limit", "exit_kind": "stopped"}, False),
        ({"exit_kind": "done", "steps_lost": 0}, False),
        ({"cause": "refused", "exit_kind": "refused"}, False),
        ({"cause": "cancelled", "steps_lost": 9}, False),
        ({"cause": "launch failure", "first_step": None}, False),
        ({"cause": None, "ended_at": None}, False),
    ],
)
def test_interruption_counts_where_it_loses_work(fields, lost):
    assert lost_work(attempt(**fields)) is lost


def test_time_on_fewer_nodes_counts_for_less():
    ended = [(attempt(cause="node failure"), 4), (attempt(exit_kind="done", num_nodes=2), 4)]
    running = [(attempt(ended_at=None), 4)]

    assert observed(ended + running, 4) == (5400.0, 1)


def test_new_stage_goes_by_what_else_ran_in_its_partition(world: World) -> None:
    stage = stage_rows(world.ledger)["second"]
    elsewhere = {"cluster": {"partition": "other"}}
    here = stage.submissions[-1].spec
    around = [
        Ending(attempt(stage_run_id=stage.id + 1, cause="node failure"), 2, here),
        Ending(attempt(stage_run_id=stage.id + 1, cause="node failure"), 2, elsewhere),
        Ending(attempt(stage_run_id=stage.id, cause="node failure"), 1, here),
    ]

    hazard = hazard_of(stage, [attempt(cause="preemption")], around)

    prior_s = (2 * 3600 + USUAL_S) / 2
    assert hazard == Hazard(observed_s=3600.0, losses=1, prior_s=prior_s, nodes=1)


def test_hazard_is_on_the_disk_before_the_job_exists(tmp_path: Path) -> None:
    there: dict[str, bool] = {}

    def look(request: JobRequest) -> None:
        there[request.stage] = request.folder.hazard.exists()

    # The history of a first run, then a second one that has none of its own.
    first = World(tmp_path)
    begin(first, "7.0", steps=5)
    first.paper.queue = [first.row("second", "RUNNING", restart=1)]
    first.pass_once(600.0)
    pipeline = make_pipeline(tmp_path, ["cluster.backend=slurm"])

    run = submit_run(pipeline, Paper(before=look), first.at)

    told = read_hazard(run.folder.stage("second").hazard, 1)
    assert there == {"second": True, "middle": True, "third": False}  # third evaluates
    assert (told.observed_s, told.losses) == (0.0, 0)
    assert told.prior_s < USUAL_S


def begin(world: World, attempt: str, *, steps: int) -> StageFolder:
    """The event file of an attempt of `second` that trains and says no last word."""
    folder = world.run.folder.stage("second")
    key = AttemptKey(world.run.slurm_ids["second"], AttemptKey.parse(attempt).restart)
    events = EventWriter(folder.events_file(key))
    events.write("begin", hosts=["node1"], world_size=1)
    events.write("started", resume_step=0, total_steps=99)
    events.write("step", step=steps, epoch=0, loss=1.0, step_s=1.0)
    events.close()
    return folder


def test_pass_tells_a_job_that_requeued_itself_of_its_own_interruption(world: World) -> None:
    folder = begin(world, "7.0", steps=5)
    before = read_hazard(folder.hazard, 1)
    row = {"started_at": 1500.0, "queued_at": 1900.0, "restart": 1}
    world.paper.queue = [world.row("second", "RUNNING", **row)]
    world.paper.past = [
        world.row("second", "NODE_FAIL", started_at=1100.0, ended_at=1400.0, source="sacct")
    ]

    world.pass_once(600.0)
    written = folder.hazard.stat().st_mtime_ns
    world.pass_once(600.0)

    assert (before.observed_s, before.losses) == (0.0, 0)
    assert read_hazard(folder.hazard, 1) == Hazard(observed_s=300.0, losses=1)
    assert folder.hazard.stat().st_mtime_ns == written


def test_hazard_that_cannot_be_written_is_told_and_keeps_nothing_from_its_due(
    world: World,
) -> None:
    folder = begin(world, "7.0", steps=5)
    folder.hazard.unlink()
    folder.hazard.mkdir()
    world.paper.queue = [world.row("second", "RUNNING", restart=1)]

    report = world.pass_once(600.0)

    [error] = [each.error for each in report.done]
    assert error.startswith("hazard.json cannot be written: [Errno 21] Is a directory")
    assert [a.restart for a in stage_rows(world.ledger)["second"].attempts] == [0, 1]


def test_endings_are_those_of_the_cluster_since_a_moment(world: World) -> None:
    begin(world, "7.0", steps=5)
    world.paper.queue = [world.row("second", "RUNNING", restart=1)]
    world.pass_once(600.0)
    ledger = open_ledger(world.pipeline)

    with ledger.read() as session:
        found = endings(session, "slurm", since=0.0)
        late = endings(session, "slurm", since=1e12)
        elsewhere = endings(session, "local", since=0.0)

    assert [(each.attempt.restart, each.nodes) for each in found] == [(0, 1)]
    assert (late, elsewhere) == ([], [])
