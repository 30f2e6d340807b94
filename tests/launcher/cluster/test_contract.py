"""What any cluster must do, on this machine and on the real Slurm alike."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from launcher.cluster import Cluster, LocalCluster, SlurmCluster
from launcher.cluster.base import JobRequest, JobRow, NoAnswer
from tests.launcher.cluster.requests import notes, request


@pytest.fixture(params=["local", pytest.param("slurm", marks=pytest.mark.cluster)])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    if request.param == "slurm":
        request.getfixturevalue("slurm")
        yield SlurmCluster()
        return
    yield LocalCluster()


def rows(cluster: Cluster) -> list[JobRow]:
    """The live jobs."""
    answer = cluster.live()
    assert not isinstance(answer, NoAnswer), answer.what
    return [row for row in answer if row.live]


def wait_for(condition: Callable[[], bool], *, limit_s: float = 90) -> None:
    give_up = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.2)


@pytest.fixture
def submit(cluster: Cluster) -> Iterator[Callable[[JobRequest], str]]:
    """Hands jobs over; at the end none of them is left, and none is a zombie."""
    submitted: list[str] = []

    def hand_over(request: JobRequest) -> str:
        submitted.append(cluster.submit(request))
        return submitted[-1]

    yield hand_over
    for slurm_id in submitted:
        wait_for(lambda wanted=slurm_id: has_gone(cluster, wanted))


def has_gone(cluster: Cluster, slurm_id: str) -> bool:
    """Stops a job again and again: a task that has not begun yet passes SIGTERM over."""
    cluster.stop(slurm_id)
    return not is_live(cluster, slurm_id)


def is_live(cluster: Cluster, slurm_id: str) -> bool:
    return slurm_id in [row.slurm_id for row in rows(cluster)]


def started_at(cluster: Cluster, slurm_id: str) -> float | None:
    return next((row.started_at for row in rows(cluster) if row.slurm_id == slurm_id), None)


def test_job_runs_with_the_code_folder_it_was_given(
    submit: Callable[[JobRequest], str], tmp_path: Path
) -> None:
    submit(request(tmp_path))
    wait_for(lambda: notes(tmp_path) != [])

    assert (tmp_path / "notes").read_text() == f"second {tmp_path / 'code'}\n"


def test_live_job_is_found_by_its_name(
    cluster: Cluster, submit: Callable[[JobRequest], str], tmp_path: Path
) -> None:
    asked = request(tmp_path, sleep_s=60)
    slurm_id = submit(asked)

    found = [row for row in rows(cluster) if row.name == asked.name]

    assert [(row.slurm_id, row.restart) for row in found] == [(slurm_id, 0)]


def test_running_job_tells_when_it_started(
    cluster: Cluster, submit: Callable[[JobRequest], str], tmp_path: Path
) -> None:
    before = time.time()
    slurm_id = submit(request(tmp_path, sleep_s=60))
    wait_for(lambda: started_at(cluster, slurm_id) is not None)

    assert before - 2 <= (started_at(cluster, slurm_id) or 0) <= time.time() + 1


def test_ended_job_is_not_live_and_its_history_says_that_it_has_ended(
    cluster: Cluster, submit: Callable[[JobRequest], str], tmp_path: Path
) -> None:
    slurm_id = submit(request(tmp_path))
    wait_for(lambda: notes(tmp_path) != [] and not is_live(cluster, slurm_id))

    def words() -> list[str]:
        history = cluster.history([slurm_id])
        assert not isinstance(history, NoAnswer)
        return [row.word for row in history]

    # Accounting learns of the end a moment after the queue.
    wait_for(lambda: words() in (["COMPLETED"], ["GONE"]))


def test_stopped_job_hears_sigterm_and_ends(
    cluster: Cluster, submit: Callable[[JobRequest], str], tmp_path: Path
) -> None:
    slurm_id = submit(request(tmp_path, sleep_s=300))
    wait_for(lambda: started_at(cluster, slurm_id) is not None)

    def is_stopped() -> bool:
        cluster.stop(slurm_id)  # again: a task that has only begun to start does not hear it
        time.sleep(1)
        return not is_live(cluster, slurm_id)

    wait_for(is_stopped)
    assert notes(tmp_path) == []


def test_two_ranks_of_a_job_both_run(submit: Callable[[JobRequest], str], tmp_path: Path) -> None:
    submit(request(tmp_path, tasks_per_node=2))

    wait_for(lambda: len(notes(tmp_path)) == 2)
    assert notes(tmp_path) == ["second", "second"]


def test_setup_lines_run_before_the_task(
    submit: Callable[[JobRequest], str], tmp_path: Path
) -> None:
    submit(request(tmp_path, setup=(f"export WORD='it is' ; echo $WORD > {tmp_path}/said",)))
    wait_for(lambda: notes(tmp_path) != [])

    assert (tmp_path / "said").read_text() == "it is\n"


def test_stopping_a_job_that_is_gone_is_harmless(
    cluster: Cluster, submit: Callable[[JobRequest], str], tmp_path: Path
) -> None:
    slurm_id = submit(request(tmp_path))
    wait_for(lambda: notes(tmp_path) != [] and not is_live(cluster, slurm_id))

    cluster.stop(slurm_id)

    assert not is_live(cluster, slurm_id)
    assert notes(tmp_path) == ["second"]
