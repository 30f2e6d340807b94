"""The test cluster does what the tests that stand on it take for granted."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.errors import SlurmClusterError
from tests.cluster.folder import is_running
from tests.cluster.install import NODES
from tests.cluster.slurm_cluster import SlurmCluster

pytestmark = pytest.mark.cluster
WHOLE_CLUSTER = ("--nodes=4", "--ntasks-per-node=8", "--gpus-per-node=8")


def _is_written(path: Path) -> bool:
    return path.exists() and path.read_text().endswith("\n")


def _lives(pid_file: Path) -> bool:
    return Path(f"/proc/{int(pid_file.read_text())}/exe").exists()  # a zombie has none


def test_cluster_has_four_idle_nodes_with_eight_gpus(slurm: SlurmCluster) -> None:
    slurm.wait_until_idle()

    shown = slurm.run("sinfo", "-h", "-N", "-p", "preempt", "-o", "%N %T %G")

    assert shown.splitlines() == [f"{node} idle gpu:8" for node in NODES]


def test_partitions_requeue_cancel_and_take_precedence(slurm: SlurmCluster) -> None:
    shown = slurm.run("sinfo", "-h", "-o", "%P %M %p %a")

    assert shown.splitlines() == [
        "preempt* REQUEUE 1 up",
        "preemptcancel CANCEL 1 up",
        "high OFF 10 up",
    ]


def test_job_runs_one_task_per_gpu_on_every_node(slurm: SlurmCluster, tmp_path: Path) -> None:
    show = "echo $SLURM_PROCID $SLURMD_NODENAME $SLURM_LOCALID $CUDA_VISIBLE_DEVICES"
    job = slurm.submit(*WHOLE_CLUSTER, f"--output={tmp_path}/out", f"--wrap=srun bash -c '{show}'")

    slurm.wait_for_state(job, "COMPLETED")

    assert sorted((tmp_path / "out").read_text().splitlines()) == sorted(
        f"{8 * index + local} {node} {local} 0,1,2,3,4,5,6,7"
        for index, node in enumerate(NODES)
        for local in range(8)
    )


def test_children_run_in_order_of_their_dependencies(slurm: SlurmCluster, tmp_path: Path) -> None:
    log = tmp_path / "log"
    common = ("--output=/dev/null", f"--wrap=echo $SLURM_JOB_NAME >> {log}")
    parent = slurm.submit("--job-name=first", *common)
    child = slurm.submit("--job-name=second", f"--dependency=afterok:{parent}", *common)
    grandchild = slurm.submit("--job-name=third", f"--dependency=afterok:{child}", *common)

    slurm.wait_for_state(grandchild, "COMPLETED")

    assert log.read_text().splitlines() == ["first", "second", "third"]


@pytest.mark.slow  # the grace time of the partition, twice the scheduler, the requeue delay
def test_preempted_job_is_requeued_under_the_same_id(slurm: SlurmCluster) -> None:
    job = slurm.submit(*WHOLE_CLUSTER, "--requeue", "--output=/dev/null", "--wrap=sleep 100")
    slurm.wait_for_state(job, "RUNNING")

    taker = slurm.preempt(1)
    slurm.wait_for_state(taker, "COMPLETED")
    slurm.wait_for_state(job, "RUNNING")
    restarts = slurm.run("squeue", "-h", "-j", job, "-O", "RestartCnt").strip()
    slurm.run("scancel", job)

    assert restarts == "1"


def test_sacct_answers_with_every_attempt(slurm: SlurmCluster) -> None:
    job = slurm.submit("--output=/dev/null", "--wrap=sleep 100")
    slurm.wait_for_state(job, "RUNNING")
    slurm.run("scontrol", "requeue", job)
    slurm.wait_for_state(job, "RUNNING")
    slurm.run("scancel", job)

    ask = ("sacct", "-n", "-X", "-D", "-P", "-j", job, "-o", "State")
    slurm.wait(lambda: "CANCELLED" in slurm.run(*ask), "sacct shows the end")  # it lags

    assert slurm.run(*ask).splitlines() == ["REQUEUED", "CANCELLED by 0"]


def test_stop_leaves_no_process_and_no_folder_behind_a_running_job(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    cluster = SlurmCluster(accounting=False)
    cluster.start()
    folder = cluster.folder
    # A child without an environment, in a session of its own, that ignores SIGTERM.
    stubborn = f"env -i setsid bash -c 'trap : TERM; echo $$ > {pid_file}; sleep 100; sleep 100'"
    cluster.submit("--nodes=4", "--output=/dev/null", f"--wrap=srun sleep 100 & {stubborn}")
    cluster.wait(lambda: _is_written(pid_file), "the job runs")

    cluster.stop()

    assert not folder.exists()
    assert not is_running(folder)
    assert not _lives(pid_file)


def test_cluster_starts_twice_and_without_accounting(slurm: SlurmCluster) -> None:
    cluster = SlurmCluster(accounting=False, min_job_age_s=2)
    for _ in range(2):
        with cluster:
            assert cluster.folder != slurm.folder
            cluster.wait_for_state(cluster.submit("--output=/dev/null", "--wrap=true"), "COMPLETED")
            with pytest.raises(SlurmClusterError, match="Slurm accounting storage is disabled"):
                cluster.run("sacct")


def test_cluster_of_a_killed_run_is_swept_away_by_the_next() -> None:
    code = (
        "import time; from tests.cluster.slurm_cluster import SlurmCluster as C\n"
        "c = C(accounting=False); c.start(); print(c.folder, flush=True); time.sleep(100)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        folder = Path(run.stdout.readline().strip())
        run.send_signal(signal.SIGKILL)
    assert is_running(folder)

    with SlurmCluster(accounting=False):
        assert not is_running(folder)
        assert not folder.exists()


def test_failed_start_says_why_and_leaves_nothing_behind(short_path: Path) -> None:
    folder = short_path / "c"

    with pytest.raises(SlurmClusterError, match="slurmctld ended instead of starting"):
        SlurmCluster(folder, accounting=False, min_job_age_s=-1).start()

    assert not folder.exists()
    assert not is_running(folder)


def test_folder_of_something_else_is_left_alone(short_path: Path) -> None:
    treasure = short_path / "treasure"
    treasure.touch()

    with pytest.raises(SlurmClusterError, match="not empty and no cluster's"):
        SlurmCluster(short_path).start()

    assert treasure.exists()


def test_killed_node_takes_its_tasks_along_and_comes_back(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    run = f"--wrap=echo $$ > {pid_file}; sleep 100"
    job = slurm.submit("--nodelist=node3", "--output=/dev/null", run)
    slurm.wait(lambda: _is_written(pid_file), "the job runs")

    slurm.kill_node("node3")

    assert not _lives(pid_file)
    slurm.run("scancel", job)
    slurm.start_node("node3")
    slurm.wait_until_idle()


def test_controller_comes_back_from_a_hang_and_an_outage(slurm: SlurmCluster) -> None:
    job = slurm.submit("--output=/dev/null", "--begin=now+1hour", "--wrap=true")

    slurm.hang_controller()
    slurm.resume_controller()
    slurm.stop_controller()
    slurm.start_controller()

    assert slurm.state(job) == "PENDING"
    slurm.run("scancel", job)
