"""What earlier runs of a pipeline tell the doctor: how long a start takes, how often it saves."""

import time

from launcher.doctor import facts
from launcher.doctor.examine import of_stages
from launcher.doctor.finding import Level
from launcher.remember import remember
from tests.launcher.doctor.sites import the_cluster, with_default
from tests.launcher.pasts import put_attempt, put_checkpoints
from tests.launcher.steered import World, world
from tests.launcher.test_past import tell
from tests.launcher.worlds import make_pipeline

__all__ = ["world"]


def test_work_that_was_lost_in_a_partition_says_how_often_a_new_job_there_expects_it(
    world: World,
) -> None:
    lost_at = time.time() - 60.0
    put_attempt(world.ledger, "second", ended_at=lost_at, wall_clock_s=3600.0)

    found = facts.hazards(world.pipeline)

    assert found == {"second": 2 / 90_000.0, "middle": 2 / 90_000.0}  # an hour, and a day as prior


def test_pipeline_without_a_ledger_has_no_hazards(tmp_path) -> None:
    assert facts.hazards(make_pipeline(tmp_path)) == {}


def test_stages_that_ask_the_same_share_a_finding_and_history_makes_slices_known(
    world: World,
) -> None:
    put_attempt(world.ledger, "second", step_s=1.0)
    put_checkpoints(world.ledger, "second", (1, 2.0))
    tell(world, "7.0", {"kind": "started", "at": 1010.0, "resume_step": 0})

    found = of_stages(
        world.pipeline, the_cluster(), remember(world.pipeline).recall(world.pipeline)
    )

    assert [(each.level, each.id, each.where) for each in found] == [
        (Level.OK, "fits", "stages.second.cluster (also middle, third)"),
        (Level.UNKNOWN, "grace-unknown", "middle"),
        (Level.WARNING, "slice-too-short", "stages.second.cluster.time_limit"),
        (Level.UNKNOWN, "slice-unknown", "stages.middle.cluster.time_limit"),
    ]


def test_partition_that_tells_no_grace_is_not_taken_for_one_where_its_qos_says(
    world: World,
) -> None:
    found = of_stages(world.pipeline, with_default(the_cluster(), grace_s=None), {})

    assert [each.what for each in found if "QOS" in each.what] == []
