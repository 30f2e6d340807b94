"""What earlier runs say about a stage, from a real ledger."""

import json
from pathlib import Path

import pytest

from db.schema import StageRun
from jobs.contract.paths import AttemptKey
from launcher.past import NOTHING, Past
from launcher.pipeline import Pipeline
from launcher.plan import make_plan
from launcher.remember import remember
from launcher.show.plan import basis_line
from tests.launcher.paper import Paper
from tests.launcher.pasts import GB, put_attempt, put_checkpoints
from tests.launcher.steered import World, world
from tests.launcher.worlds import make_pipeline, stage_rows, submit_run

__all__ = ["world"]


def past(pipeline: Pipeline, stage: str = "second") -> Past:
    return remember(pipeline).recall(pipeline).get(stage, NOTHING)


def tell(world: World, attempt: str, *events: dict[str, object]) -> None:
    """The event file of an attempt of `second`."""
    path = world.run.folder.stage("second").events_file(AttemptKey.parse(attempt))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(event) + "\n" for event in events))


def test_ledger_tells_work_saves_waits_and_sizes(world: World) -> None:
    put_attempt(world.ledger, "second", queued_s=999.0)
    put_attempt(world.ledger, "second", restart=1, step_s=12.0, queued_s=30.0)
    put_attempt(world.ledger, "second", restart=2, step_s=12.0, queued_s=50.0)
    put_checkpoints(world.ledger, "second", (2 * GB, 20.0), (3 * GB, 22.0), (GB, 24.0))

    found = past(world.pipeline)

    assert found == Past(
        runs=1,
        work_s=720 * 12.0,
        step_s=12.0,
        steps=720,
        start_s=None,  # no event file tells it
        save_s=22.0,
        wait_s=40.0,
        checkpoint_bytes=3 * GB,
        checkpoint_files=1,
    )


def test_event_files_tell_the_start_and_what_a_save_held_up(world: World) -> None:
    put_attempt(world.ledger, "second")
    put_checkpoints(world.ledger, "second", (GB, 20.0))
    tell(
        world,
        "7.0",
        {"kind": "started", "at": 1090.0, "resume_step": 0},
        {"kind": "checkpoint", "at": 2000.0, "step": 100, "save_s": 20.0, "held_s": 2.0},
        {"kind": "checkpoint", "at": 3000.0, "step": 200, "save_s": 20.0, "held_s": 3.0},
    )

    found = past(world.pipeline)

    assert (found.start_s, found.save_s) == (90.0, 2.5)


def test_plan_goes_by_the_ledger_before_expect_and_says_so(world: World, tmp_path: Path) -> None:
    put_attempt(world.ledger, "second")
    pipeline = make_pipeline(tmp_path, ["stages.second.expect={epoch: 9h}", *LATER])

    plan = make_plan(pipeline, remember(pipeline).recall(pipeline))
    _, second, middle, _ = plan.stages

    assert (second.wall_s, second.basis) == (7200.0, "ledger, 1 run")
    assert (middle.wall_s, middle.basis) == (1800.0, "expect")
    assert basis_line(plan) == "by ledger, 1 run: second; expect: middle"


LATER = ("cluster.backend=slurm", "stages.middle.expect={total: 30m}")


@pytest.mark.parametrize(
    ("override", "work_s"),
    [
        ("stages.second.train.epochs=3", 3 * 7200.0),
        ("cluster.nodes=4", 7200.0 / 4),
        ("cluster.tasks_per_node=2", 7200.0 / 2),
        ("stages.second.train.max_steps=10", None),  # another training
        ("stages={second: {command: [a.out]}}", None),
    ],
)
def test_what_was_is_taken_for_what_stands_in_the_file_now(
    world: World, tmp_path: Path, override: str, work_s: float | None
) -> None:
    put_attempt(world.ledger, "second")

    found = past(make_pipeline(tmp_path, ["cluster.backend=slurm", override]))

    assert found.work_s == work_s


def test_evaluation_without_steps_goes_by_a_run_that_was_done_at_once(world: World) -> None:
    with world.ledger.write() as session:
        session.get_one(StageRun, stage_rows(world.ledger)["third"].id).state = "done"
    put_attempt(world.ledger, "third", step_s=None, total_steps=None, wall_clock_s=1200.0)

    assert past(world.pipeline, "third").work_s == 1200.0


def test_pipeline_of_another_name_has_no_past(world: World, tmp_path: Path) -> None:
    put_attempt(world.ledger, "second")

    assert past(make_pipeline(tmp_path, ["name=other"])) == NOTHING


def test_without_a_ledger_nothing_is_known_and_none_is_made(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path)

    assert remember(pipeline).recall(pipeline) == {}
    assert not pipeline.runs.exists()


def test_runs_that_only_wait_take_no_earlier_run_its_place(world: World) -> None:
    put_attempt(world.ledger, "second")
    for number in range(5):
        submit_run(world.pipeline, Paper(), 2000.0 + number)
        put_attempt(
            world.ledger,
            "second",
            slurm_id=f"{800 + number}",
            state="PENDING",
            **dict.fromkeys(("started_at", "ended_at", "wall_clock_s", "first_step", "last_step")),
            **dict.fromkeys(("total_steps", "step_s", "num_nodes")),
        )

    found = past(world.pipeline)

    assert (found.runs, found.step_s) == (1, 10.0)
