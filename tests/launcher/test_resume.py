"""`resume` on paper: what is submitted again, released, or left alone."""

import pytest

from db.schema import StageRun
from db.states import StageState
from launcher.errors import ClusterError, LauncherError, UsageError
from launcher.wishes import intent_left
from tests.launcher.paper import Paper
from tests.launcher.steered import World, world
from tests.launcher.worlds import states

__all__ = ["world"]


class Deaf(Paper):
    """A cluster that releases nothing."""

    def release(self, slurm_id: str) -> None:
        raise ClusterError(f"scontrol: no answer about {slurm_id}")


def given(world: World) -> list[str]:
    """Stages of the jobs that were handed over, in order."""
    return [request.stage for request in world.paper.given]


def fail(world: World, stage: str) -> None:
    """Gives a stage up."""
    with world.ledger.write() as session:
        session.get_one(StageRun, world.rows[stage].id).state = StageState.FAILED


def test_cancelled_stages_are_submitted_again_tied_to_the_new_jobs(world: World) -> None:
    world.steer("cancel", "second")
    world.forget("second", "middle", "third")
    world.pass_once()

    told = world.steer("resume", "second")

    assert given(world)[3:] == ["second", "middle", "third"]
    assert [r.parents for r in world.paper.given[3:]] == [(), ("104",), ("105",)]
    assert told == [
        "stage second: submitted as job 104",
        "stage middle: submitted as job 105",
        "stage third: submitted as job 106",
    ]


def test_stage_resumed_while_its_cancelled_job_still_saves_gets_a_new_one_after_it(
    world: World,
) -> None:
    world.steer("cancel")
    world.paper.queue = [world.row("second", "COMPLETING")]

    told = world.steer("resume", "second")
    during = given(world)[3:]
    world.forget("second", "middle", "third")
    for _ in range(3):
        world.pass_once()

    assert told[0] == "stage second: job 101 still ends; then it gets a new one"
    assert during == []
    assert sorted(given(world)[3:]) == ["middle", "second", "third"]


def test_failed_stage_is_submitted_again_once(world: World) -> None:
    world.forget()
    fail(world, "second")

    world.steer("resume", "second")
    world.paper.queue = [
        world.row("second", "PENDING", slurm_id="104", name=world.paper.given[-1].name)
    ]
    with pytest.raises(UsageError, match="no stage is held, failed or cancelled"):
        world.steer("resume")

    assert given(world)[3:].count("second") == 1


def test_job_that_was_held_by_hand_is_released_without_being_named(world: World) -> None:
    world.paper.queue = [
        world.row("second", "PENDING", reason="JobHeldUser"),
        world.row("middle", "PENDING", reason="Dependency"),
        world.row("third", "PENDING", reason="Dependency"),
    ]

    world.steer("resume")

    assert world.paper.acts[0] == "release 101"


def test_release_that_slurm_did_not_do_must_be_asked_for_again(world: World) -> None:
    world.paper = Deaf(given=world.paper.given)
    held = world.row("second", "PENDING", reason="JobHeldUser")
    world.paper.queue = [held, world.row("middle", "PENDING", reason="Dependency")]

    told = world.steered("resume", "second").refused

    assert told == [
        "stage second: job 101 is released when Slurm answers: scontrol: no answer about 101"
    ]
    assert world.steered("resume").refused == told


def test_stage_whose_job_may_appear_any_moment_is_not_resumed(world: World) -> None:
    world.paper.queue = []
    world.lose_answer("second")
    fail(world, "second")

    with pytest.raises(LauncherError, match="on its way and has not been seen yet"):
        world.steer("resume", "second")

    assert given(world)[3:] == []


def test_job_that_nobody_sees_at_the_moment_gets_no_second_one(world: World) -> None:
    world.pass_once()
    world.paper.queue = []

    world.steer("resume", "second")

    assert (given(world)[3:], states(world.ledger)["second"]) == ([], "running")


@pytest.mark.parametrize(
    ("intent", "stopped", "live", "left"),
    [
        ("hold", True, True, None),
        ("limit", False, True, None),
        ("cancel", True, True, "withdraw"),
        ("cancel", True, False, None),
        ("hang", False, True, "hang"),
        ("withdraw", False, False, "withdraw"),
    ],
)
def test_resume_keeps_the_reason_why_a_job_is_ending(
    *, intent: str, stopped: bool, live: bool, left: str | None
) -> None:
    assert intent_left(intent, stopped=stopped, live=live) == left
