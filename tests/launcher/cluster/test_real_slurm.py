"""What only the real Slurm can say: the script, the order of dependent jobs, its refusals."""

import re
import time
from pathlib import Path

import pytest

from launcher.cluster import SlurmCluster, open_cluster
from launcher.cluster.base import NoAnswer, SubmitError
from tests.cluster.slurm_cluster import SlurmCluster as Daemons
from tests.launcher.cluster.requests import notes, request
from tests.launcher.cluster.test_contract import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("slurm")]


def test_dependent_jobs_run_in_order(tmp_path: Path) -> None:
    cluster = SlurmCluster()
    first = cluster.submit(request(tmp_path, stage="one", sleep_s=1))
    second = cluster.submit(request(tmp_path, stage="two", parents=(first,)))
    cluster.submit(request(tmp_path, stage="three", parents=(first, second)))

    wait_for(lambda: len(notes(tmp_path)) == 3)

    assert notes(tmp_path) == ["one", "two", "three"]


def test_shown_script_is_the_submitted_one(slurm: Daemons, tmp_path: Path) -> None:
    asked = request(
        tmp_path,
        nodes=2,
        gpus_per_node=4,
        cpus_per_gpu=2,
        mem_gb=1.5,
        partition="preempt",
        setup=("echo 'it is'",),
        sbatch={"nice": 10},
    )
    shown = SlurmCluster().script(asked)

    slurm_id = SlurmCluster().submit(asked)

    assert (asked.submitit_folder / f"{slurm_id}_submission.sh").read_text() == shown
    assert slurm.run("scontrol", "write", "batch_script", slurm_id, "-").strip() == shown.strip()


def test_job_asks_slurm_for_what_the_settings_say(slurm: Daemons, tmp_path: Path) -> None:
    asked = request(
        tmp_path,
        nodes=2,
        gpus_per_node=4,
        cpus_per_gpu=2,
        mem_gb=2,
        time_limit_s=5400,
        exclude="node4",
        sleep_s=30,
    )
    slurm_id = SlurmCluster().submit(asked)
    told = slurm.run("scontrol", "show", "job", "-o", slurm_id)
    SlurmCluster().stop(slurm_id)

    wanted = {
        "JobName": asked.name,
        "Requeue": "1",
        "TimeLimit": "01:30:00",
        "MinMemoryNode": "2G",
        "CPUs/Task": "2",
        "NtasksPerN:B:S:C": "4:0:*:*",
        "ExcNodeList": "node4",
        "TresPerNode": "gres:gpu:4",
        "KillOInInvalidDependent": "No",
    }
    fields = dict(re.findall(r"(\S+?)=(\S*)", told))
    assert {key: fields.get(key) for key in wanted} == wanted


def test_stage_that_cannot_resume_is_not_requeued_by_slurm(slurm: Daemons, tmp_path: Path) -> None:
    slurm_id = SlurmCluster().submit(request(tmp_path, resumable=False))

    assert " Requeue=0 " in slurm.run("scontrol", "show", "job", "-o", slurm_id)


def test_refusal_comes_in_slurms_own_words(tmp_path: Path) -> None:
    with pytest.raises(SubmitError, match="invalid partition specified: nosuch") as caught:
        SlurmCluster().submit(request(tmp_path, partition="nosuch"))

    assert caught.value.refused


def test_requeued_job_shows_its_restart_and_both_attempts(slurm: Daemons, tmp_path: Path) -> None:
    cluster = SlurmCluster()
    slurm_id = cluster.submit(request(tmp_path, sleep_s=120))
    slurm.wait_for_state(slurm_id, "RUNNING")
    slurm.run("scontrol", "requeue", slurm_id)

    def restarts() -> list[int]:
        live = cluster.live()
        assert not isinstance(live, NoAnswer)
        return [row.restart for row in live if row.slurm_id == slurm_id]

    def words() -> list[tuple[int, str]]:
        history = cluster.history([slurm_id])
        assert not isinstance(history, NoAnswer)
        return [(row.restart, row.word) for row in history]

    wait_for(lambda: restarts() == [1])
    wait_for(lambda: words()[:1] == [(0, "REQUEUED")] and len(words()) == 2)
    slurm.run("scancel", slurm_id)


@pytest.mark.alone  # measures time
def test_submitting_takes_less_than_a_second(tmp_path: Path) -> None:
    asked = request(tmp_path)
    began = time.monotonic()

    SlurmCluster().submit(asked)

    assert time.monotonic() - began < 1


def test_running_slurm_is_chosen() -> None:
    assert open_cluster("auto").name == "slurm"
