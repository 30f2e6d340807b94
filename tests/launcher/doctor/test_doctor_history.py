"""What earlier runs of a pipeline tell: sizes of checkpoints, and how long a start takes."""

from db.sizes import Size
from jobs.contract.events import EventWriter
from launcher.doctor import facts
from launcher.doctor.examine import of_stages
from launcher.doctor.finding import Level
from tests.launcher.doctor.sites import the_cluster, with_default
from tests.launcher.steered import World, world
from tests.launcher.test_grace import remember

__all__ = ["world"]


def test_sizes_are_those_of_the_newest_run_that_saved(world: World) -> None:
    remember(world, 1.0, 2.0, 2.0)

    found = facts.checkpoint_sizes(world.pipeline)

    assert found["second"] == Size(bytes=1, files=1, total_steps=None)
    assert "middle" not in found


def test_start_is_that_of_the_first_step_told(world: World) -> None:
    events = EventWriter(world.run.folder.stage("second").events / "101.0.jsonl")
    events.write("begin", hosts=["n1"], world_size=1)
    events.write("first_step", step=1, start_s=33.5, parts={})
    events.close()

    assert facts.start_times(world.pipeline) == {"second": 33.5}


def test_event_file_without_a_first_step_tells_nothing(world: World) -> None:
    path = world.run.folder.stage("second").events / "101.0.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text('{"at": 1.0, "kind": "begin"}\n{"first_step": torn')

    assert facts.start_times(world.pipeline) == {}


def test_stages_that_ask_the_same_share_a_finding_and_history_makes_slices_known(
    world: World,
) -> None:
    remember(world, 1.0, 2.0)
    events = EventWriter(world.run.folder.stage("second").events / "101.0.jsonl")
    events.write("first_step", step=1, start_s=10.0, parts={})
    events.close()

    found = of_stages(world.pipeline, the_cluster())

    assert [(each.level, each.id, each.where) for each in found] == [
        (Level.OK, "fits", "stages.second.cluster (also middle, third)"),
        (Level.UNKNOWN, "grace-unknown", "middle"),
        (Level.WARNING, "slice-too-short", "stages.second.cluster.time_limit"),
        (Level.UNKNOWN, "slice-unknown", "stages.middle.cluster.time_limit"),
    ]


def test_partition_that_tells_no_grace_is_not_taken_for_one_where_its_qos_says(
    world: World,
) -> None:
    found = of_stages(world.pipeline, with_default(the_cluster(), grace_s=None))

    assert [each.what for each in found if "QOS" in each.what] == []
