"""`adopt` on paper: which job may become whose."""

import pytest

from launcher.cluster.base import JobRow, NoAnswer
from launcher.errors import ClusterError, UsageError
from tests.launcher.steered import World, world
from tests.launcher.worlds import states

__all__ = ["world"]


def by_hand(slurm_id: str = "500", name: str = "train", word: str = "RUNNING") -> JobRow:
    """A job that somebody has handed in by hand."""
    return JobRow(slurm_id=slurm_id, restart=0, name=name, word=word, source="squeue")


@pytest.fixture
def lost(world: World) -> World:
    """All jobs of the run have been cancelled; one runs that was handed in by hand."""
    world.steer("cancel")
    world.forget("second", "middle", "third")
    world.pass_once()
    world.paper.queue = [by_hand()]
    return world


def test_adopted_job_is_the_stages_from_then_on(lost: World) -> None:
    lost.adopt("500", "second")
    lost.pass_once()

    row = lost.rows["second"]
    assert (str(row.state), row.submissions[-1].slurm_id) == ("running", "500")
    assert [request.stage for request in lost.paper.given] == ["second", "middle", "third"]


def test_adoption_leaves_the_fence_on_the_disk_as_the_job_knows_it(lost: World) -> None:
    fence = lost.run.folder.stage("second").fence
    before = fence.read_text()

    lost.adopt("500", "second")

    assert fence.read_text() == before
    assert [each.fence for each in lost.rows["second"].submissions] == [1, 2]


def test_other_job_of_the_same_name_is_not_taken_for_the_adopted_one(lost: World) -> None:
    lost.adopt("500", "second")
    lost.paper.queue = [by_hand("501")]

    report = lost.pass_once()

    [judged] = [each for each in report.judged[lost.run.id] if each.facts.stage.stage == "second"]
    assert judged.facts.gone


def test_second_job_is_refused_while_an_adopted_one_lives(lost: World) -> None:
    lost.adopt("500", "second")
    lost.paper.queue = [by_hand(), by_hand("501", "again")]

    with pytest.raises(UsageError, match="stage second has job 500, which is live; end that first"):
        lost.adopt("501", "second")


def test_job_of_another_stage_is_refused_by_its_name_alone(world: World) -> None:
    world.lose_answer("second")

    with pytest.raises(UsageError, match="job 101 is known already, as stage second of run"):
        world.adopt("101", "middle")


def test_job_of_another_stage_is_refused_by_its_number(world: World) -> None:
    with pytest.raises(UsageError, match="job 101 is known already, as stage second of run"):
        world.adopt("101", "middle")


def test_adopted_job_is_not_adopted_again_by_another_stage(lost: World) -> None:
    lost.adopt("500", "second")

    with pytest.raises(UsageError, match="job 500 is known already, as stage second of run"):
        lost.adopt("500", "middle")


def test_stage_whose_own_job_may_appear_any_moment_adopts_none(world: World) -> None:
    world.lose_answer("second")
    world.paper.queue = [by_hand()]

    with pytest.raises(UsageError, match="on its way and has not been seen yet"):
        world.adopt("500", "second")


def test_job_that_has_ended_is_refused(world: World) -> None:
    world.paper.queue = [by_hand(word="COMPLETED")]

    with pytest.raises(UsageError, match="job 500: no job of yours with this number"):
        world.adopt("500", "second")


def test_nothing_is_adopted_while_slurm_is_silent(world: World) -> None:
    world.paper.queue = NoAnswer("squeue: no answer")

    with pytest.raises(ClusterError, match="nothing was changed"):
        world.adopt("500", "second")

    assert states(world.ledger)["second"] == "pending"


def test_reused_stage_needs_no_job(world: World) -> None:
    world.paper.queue = [by_hand()]

    with pytest.raises(UsageError, match="stage first is reused; it needs no job"):
        world.adopt("500", "first")
