"""The doctor and the real Slurm say the same of a request."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.cli import main
from launcher.cluster.base import NoAnswer
from launcher.doctor.finding import Level
from launcher.doctor.probe import Seen, probe
from launcher.pipeline import ClusterSettings
from tests.cluster.errors import SlurmClusterError
from tests.cluster.slurm_cluster import SlurmCluster as Daemons

pytestmark = pytest.mark.cluster

DEMO = Path(__file__).parents[3] / "pipeline.demo.yaml"
NEVER = (
    "refused",
    "PENDING PartitionConfig",
    "PENDING PartitionNodeLimit",
    "PENDING PartitionTimeLimit",
)
SHAPE = ("cluster.backend=slurm", "cluster.nodes=4", "cluster.gpus_per_node=8")


@pytest.fixture(autouse=True)
def _runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAUNCHER_LEDGER", raising=False)
    monkeypatch.setenv("LAUNCHER_RUNS", str(tmp_path / "runs"))


@pytest.fixture
def short_high(slurm: Daemons) -> Iterator[None]:
    """Partition `high` allows an hour."""
    slurm.run("scontrol", "update", "partitionname=high", "maxtime=60")
    yield
    slurm.run("scontrol", "update", "partitionname=high", "maxtime=unlimited")


def doctor(capsys: pytest.CaptureFixture[str], *overrides: str) -> tuple[int, list[str]]:
    """Its exit code, and the ids of its errors."""
    sets = [word for override in (*SHAPE, *overrides) for word in ("--set", override)]
    code = main(["doctor", str(DEMO), "--json", *sets])
    found = json.loads(capsys.readouterr().out)["findings"]
    return code, [each["id"] for each in found if each["level"] == Level.ERROR]


@pytest.mark.usefixtures("slurm")
def test_good_demo_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(capsys) == (0, [])


@pytest.mark.usefixtures("short_high")
@pytest.mark.parametrize(
    ("overrides", "options", "id_"),
    [
        (["cluster.partition=nosuch"], ["-p", "nosuch", "-N4"], "partition-unknown"),
        (["cluster.nodes=8"], ["-N8"], "nodes-too-many"),
        (["cluster.gpus_per_node=9"], ["-N4", "--gpus-per-node=9"], "gpus-too-many"),
        (["cluster.mem=600G"], ["-N4", "--mem=600G"], "memory-too-much"),
        (["cluster.cpus_per_task=65"], ["-N4", "--ntasks-per-node=1", "-c65"], "cpus-too-many"),
        (["cluster.constraint=h100"], ["-N4", "-C", "h100"], "nodes-unfit"),
        (
            ["cluster.partition=high", "cluster.time_limit=61m"],
            ["-p", "high", "-N4", "-t", "61"],
            "time-too-long",
        ),
    ],
)
def test_what_is_an_error_slurm_refuses_or_never_starts(
    slurm: Daemons,
    capsys: pytest.CaptureFixture[str],
    overrides: list[str],
    options: list[str],
    id_: str,
) -> None:
    assert doctor(capsys, *overrides) == (1, [id_])

    answer = slurm_says(slurm, *options)

    assert answer in NEVER, answer


def slurm_says(slurm: Daemons, *options: str) -> str:
    """`refused`, or why the job waits once the scheduler has looked at it."""
    try:
        slurm_id = slurm.run("sbatch", "--parsable", *options, "--wrap", "true").strip()
    except SlurmClusterError:
        return "refused"
    reason = ""
    give_up = time.monotonic() + 60
    while reason not in NEVER and time.monotonic() < give_up:
        reason = slurm.run("squeue", "-h", "-j", slurm_id, "-t", "all", "-o", "%T %r").strip()
        time.sleep(0.3)
    slurm.run("scancel", slurm_id)
    return reason


@pytest.mark.usefixtures("short_high")
def test_limits_that_are_just_kept_are_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    just = ["cluster.partition=high", "cluster.time_limit=1h", "cluster.cpus_per_task=64"]

    assert doctor(capsys, *just) == (0, [])


@pytest.mark.usefixtures("slurm")
def test_node_sees_the_folder_and_its_gpus(tmp_path: Path) -> None:
    settings = ClusterSettings(time_limit_s=60, gpus_per_node=2, setup=("echo loaded",))

    found = probe(settings, tmp_path, ["localhost", "no-such-host.invalid"])

    assert isinstance(found, Seen), found
    assert (found.sees, found.writes, found.clock_s) == (True, True, 0.0)
    assert (found.gpus, found.gpus_by) == (2, "CUDA_VISIBLE_DEVICES") or found.gpus_by
    assert found.names == {"localhost": True, "no-such-host.invalid": False}
    assert list(tmp_path.iterdir()) == []


def test_job_that_does_not_start_in_time_is_given_up_and_gone(
    slurm: Daemons, tmp_path: Path
) -> None:
    blocking = slurm.run(
        "sbatch", "--parsable", "-p", "high", "-N4", "--exclusive", "--wrap", "sleep 60"
    ).strip()
    slurm.wait_for_state(blocking, "RUNNING")

    found = probe(ClusterSettings(time_limit_s=60), tmp_path, [], start_s=3)

    left = [
        line for line in slurm.run("squeue", "-h", "-o", "%j %T").splitlines() if "doctor" in line
    ]
    slurm.run("scancel", blocking)
    assert isinstance(found, NoAnswer)
    assert left == []
    assert list(tmp_path.iterdir()) == []
