"""Where a rank stands, and how ranks find each other."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.contract.paths import AttemptKey
from jobs.contract.task import StageTask
from jobs.distributed import Place, export_rendezvous, find_place, share_cores
from tests.jobs.running import INHERITED

TASK = StageTask(Path("/runs/r"), "stage2", 1, "stage2-01HX")


def place(**changes) -> Place:
    """A rank of a job with two nodes."""
    usual = {
        "attempt": AttemptKey("812", 0),
        "rank": 9,
        "local_rank": 1,
        "world_size": 16,
        "hosts": ("gpu3", "gpu7"),
        "host": "gpu7",
        "on_slurm": True,
    }
    return Place(**(usual | changes))


@pytest.fixture
def slurm_variables(monkeypatch) -> pytest.MonkeyPatch:
    """What Slurm and submitit set on rank 9 of 16 on two nodes, after the second requeue."""
    variables = {
        "SUBMITIT_EXECUTOR": "slurm",
        "SLURM_JOB_ID": "812",
        "SLURM_RESTART_COUNT": "2",
        "SLURM_NTASKS": "16",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_NODEID": "1",
        "SLURM_JOB_NODELIST": "gpu[3,7]",
        "SLURMD_NODENAME": "gpu7",
        "SLURM_PROCID": "9",
        "SLURM_LOCALID": "1",
    }
    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.mark.usefixtures("slurm_variables")
def test_place_is_read_from_slurms_variables():
    assert find_place(TASK) == place(attempt=AttemptKey("812", 2))


def test_first_start_on_slurm_has_restart_0(slurm_variables):
    slurm_variables.delenv("SLURM_RESTART_COUNT")

    assert find_place(TASK).attempt == AttemptKey("812", 0)


def test_place_on_this_machine_is_named_after_the_submission(monkeypatch):
    for name, value in {
        "SUBMITIT_EXECUTOR": "local",
        "SUBMITIT_LOCAL_JOB_ID": "4711",
        "SUBMITIT_LOCAL_NTASKS": "2",
        "SUBMITIT_LOCAL_GLOBALID": "1",
        "SUBMITIT_LOCAL_LOCALID": "1",
        "SLURM_RESTART_COUNT": "3",
    }.items():
        monkeypatch.setenv(name, value)

    assert find_place(TASK) == Place(
        AttemptKey("stage2-01HX", 0), 1, 1, 2, ("127.0.0.1",), host="127.0.0.1", on_slurm=False
    )


def test_port_is_the_same_on_all_ranks_and_below_those_linux_hands_out():
    ports = {place(rank=rank, local_rank=rank % 8).port for rank in range(16)}

    assert len(ports) == 1
    assert 20_000 <= ports.pop() < 32_000


def test_port_changes_after_a_restart():
    ports = [place(attempt=AttemptKey("812", restart)).port for restart in range(4)]

    assert len(set(ports)) == 4


def test_rendezvous_overrides_what_a_login_shell_left(monkeypatch):
    for name, value in INHERITED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_ADDR", "elsewhere")

    export_rendezvous(place())

    names = ("MASTER_ADDR", "MASTER_PORT", "RANK", "LOCAL_RANK", "WORLD_SIZE")
    assert [os.environ[name] for name in names] == ["gpu3", str(place().port), "9", "1", "16"]


def test_deepspeed_still_knows_the_operator_that_must_not_be_compiled():
    script = "import deepspeed; print('deepspeed_shm_comm' in deepspeed.ops.__compatible_ops__)"

    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    assert done.stdout.splitlines()[-1] == "True"


@pytest.mark.parametrize(("ranks", "threads"), [(1, "cores"), (10_000, "1")])
def test_ranks_of_a_node_share_its_cores(monkeypatch, ranks, threads):
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    cores = str(len(os.sched_getaffinity(0)))

    share_cores(Place(AttemptKey("7", 0), 0, 0, ranks, ("here",)))

    assert os.environ["OMP_NUM_THREADS"] == threads.replace("cores", cores)
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


def test_threads_that_are_set_already_stay(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")

    share_cores(Place(AttemptKey("7", 0), 0, 0, 8, ("here",)))

    assert (os.environ["OMP_NUM_THREADS"], os.environ["OMP_WAIT_POLICY"]) == ("3", "ACTIVE")
