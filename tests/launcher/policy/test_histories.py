"""Random histories against the model cluster; `python -m bench.histories 10000` has more."""

import os
from collections import Counter
from random import Random

import pytest

from db.states import StageState
from tests.launcher.chaos import run_history
from tests.launcher.histories import Start, World

HISTORIES = 100
UID = os.getuid()


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> list[Start]:
    folder = tmp_path_factory.mktemp("worlds")
    return [Start(folder / "two", 2), Start(folder / "three", 3)]


@pytest.fixture
def world(starts: list[Start]) -> World:
    """Two stages, both in the queue, and the first of them at work."""
    world = World(starts[0], Random(0), UID)
    world.a_pass()
    world.truth.advance(180)
    world.a_pass()
    return world


def states(world: World) -> dict[str, StageState]:
    return {row.stage: row.state for row in world.rows()}


def rules(world: World) -> dict[str, str | None]:
    return {row.stage: row.rule for row in world.rows()}


@pytest.mark.slow
def test_random_histories_break_no_rule_and_come_to_an_end(starts: list[Start]) -> None:
    seen: Counter[str] = Counter()
    for seed in range(HISTORIES):
        world = run_history(starts[seed % 2], seed, UID)
        assert not world.wrong, "\n".join([f"seed {seed}", *world.wrong, *world.log])
        seen += world.seen

    # A world in which hardly anything happens would prove nothing.
    rare = ("no-such-job", "node-failure", "stopped", "rewire", "killed", "end done", "end held")
    assert not [name for name in rare if not seen[name]]


def test_history_is_the_same_for_the_same_seed(starts: list[Start]) -> None:
    first, second = run_history(starts[0], 7, UID), run_history(starts[0], 7, UID)

    assert first.log == second.log


def test_undisturbed_run_is_done_without_an_act_beside_its_submissions(world: World) -> None:
    world.calm()

    assert set(states(world).values()) == {StageState.DONE}
    assert world.seen["unsent"] == 2
    assert len(world.truth.jobs) == 2


@pytest.mark.parametrize("accounts", [True, False])
def test_cancelled_child_is_not_retried_when_the_queue_has_forgotten_it(
    world: World, accounts
) -> None:
    world.truth.accounts = accounts
    child = world.truth.jobs["1001"]
    world.truth.end(child, "CANCELLED", by=UID)
    world.cancelled["two"] = child.slurm_id
    world.a_pass()
    world.truth.advance(900)

    world.calm()

    assert not world.wrong
    assert states(world) == {"one": StageState.DONE, "two": StageState.CANCELLED}


def test_cancel_that_accounting_tells_late_is_not_taken_for_slurms_own(world: World) -> None:
    world.truth.past_lag_s = 120.0
    world.truth.end(world.truth.jobs["1001"], "CANCELLED", by=UID)

    world.a_pass()

    assert rules(world)["two"] == "who-cancelled"


def test_child_that_slurm_ended_for_its_dependency_comes_back(world: World) -> None:
    world.truth.kills_invalid = True
    world.truth.end(world.truth.jobs["1000"], "NODE_FAIL")

    world.calm()

    assert set(states(world).values()) == {StageState.DONE}
    assert world.seen["dependency-cancelled"] == 1


def test_job_whose_answer_never_came_is_adopted_and_not_joined_by_another(world: World) -> None:
    world.truth.sbatch.append("silent")
    world.training.stop(world.truth.jobs["1000"], "FAILED", again=False)
    world.a_pass()

    world.calm()

    assert [job.stage for job in world.truth.jobs.values()] == ["one", "two", "one"]
    assert set(states(world).values()) == {StageState.DONE}


def test_job_that_comes_after_another_took_its_place_refuses(world: World) -> None:
    world.truth.sbatch.append("late400")
    world.training.stop(world.truth.jobs["1000"], "FAILED", again=False)
    for _ in range(5):
        world.a_pass()
        world.truth.advance(60)

    world.calm()

    late = next(job for job in world.truth.jobs.values() if job.late)
    assert late.now.exit_code == 93
    assert set(states(world).values()) == {StageState.DONE}


def test_lost_job_that_still_writes_is_left_alone(world: World) -> None:
    world.truth.jobs["1000"].lost = True
    for _ in range(3):
        world.truth.advance(60)
        world.a_pass()

    assert len(world.truth.jobs) == 2
    assert rules(world)["one"] == "settling"


def test_nothing_is_done_while_the_controller_is_silent(world: World) -> None:
    world.training.stop(world.truth.jobs["1000"], "FAILED", again=False)
    world.truth.queue_silent = True
    before = states(world)

    world.a_pass()

    assert states(world) == before
    assert len(world.truth.jobs) == 2
