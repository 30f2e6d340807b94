"""Where Slurm holds to accounting, the doctor calls an error what Slurm refuses or never starts."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.doctor.ask import ask_site
from launcher.doctor.finding import Level
from launcher.doctor.fits import fits
from launcher.doctor.request import request_of
from launcher.doctor.rights import rights
from launcher.identity import user_name
from launcher.pipeline import ClusterSettings
from tests.cluster.errors import SlurmClusterError
from tests.cluster.slurm_cluster import SlurmCluster

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
_HOLDS_TO = "\nAccountingStorageEnforce=associations,limits,qos"
_STORED = "AccountingStorageTRES=gres/gpu"


@pytest.fixture(scope="module")
def strict() -> Iterator[SlurmCluster]:
    """A cluster of its own, where user and account `lab` have limits."""
    with SlurmCluster() as cluster, pytest.MonkeyPatch.context() as patch:
        for name, value in cluster.env.items():
            patch.setenv(name, value)
        for words in (
            "add account lab",
            "add account rich",
            f"add user {user_name()} account=lab",
            "add qos short",
            "modify qos short set MaxWall=01:00:00 MaxTRESPerJob=node=2",
            f"modify user {user_name()} where account=lab set qos=normal,short MaxTRES=gres/gpu=16",
        ):
            cluster.run("sacctmgr", "-i", *words.split())
        file = Path(cluster.env["SLURM_CONF"])
        file.write_text(file.read_text().replace(_STORED, _STORED + _HOLDS_TO))
        cluster.stop_controller()
        cluster.start_controller()
        cluster.wait_until_idle()
        yield cluster


def errors(settings: ClusterSettings) -> list[str]:
    site, request = ask_site(), request_of(settings)
    found = [*fits(request, site), *rights(request, site, user_name(), jobs=1)]
    return [finding.id for finding in found if finding.level is Level.ERROR]


def slurm_says(cluster: SlurmCluster, settings: ClusterSettings) -> str:
    """`refused`, or why the job waits once the scheduler has looked at it."""
    wanted = {"account": settings.account, "qos": settings.qos, "nodes": settings.nodes}
    wanted |= {"time": settings.time_limit_s // 60, "gpus-per-node": settings.gpus_per_node}
    options = [f"--{name}={value}" for name, value in wanted.items() if value]
    try:
        slurm_id = cluster.run("sbatch", "--parsable", *options, "--wrap", "true").strip()
    except SlurmClusterError:
        return "refused"
    reason, give_up = "None", time.monotonic() + 120
    while reason.startswith(("None", "Priority", "ReqNode")) and time.monotonic() < give_up:
        reason = cluster.run("squeue", "-h", "-j", slurm_id, "-t", "all", "-o", "%r").strip()
        time.sleep(0.3)
    cluster.run("scancel", slurm_id)
    return reason


@pytest.mark.parametrize(
    ("asked", "id_", "answer"),
    [
        ({"account": "nosuch"}, "account", "refused"),
        ({"account": "rich"}, "account", "refused"),
        ({"qos": "nosuch"}, "qos", "refused"),
        ({"account": "lab", "nodes": 4, "gpus_per_node": 5}, "tres-limit", "AssocMaxGRESPerJob"),
        (
            {"account": "lab", "qos": "short", "time_limit_s": 3660},
            "wall-limit",
            "QOSMaxWallDurationPerJobLimit",
        ),
        ({"account": "lab", "qos": "short", "nodes": 3}, "tres-limit", "QOSMaxNodePerJobLimit"),
    ],
)
def test_what_accounting_forbids_is_an_error_and_never_runs(strict, asked, id_, answer):
    settings = ClusterSettings(**{"time_limit_s": 600, **asked})

    assert errors(settings) == [id_]
    assert slurm_says(strict, settings) == answer


@pytest.mark.usefixtures("strict")
def test_what_accounting_just_allows_is_no_error():
    most = ClusterSettings(account="lab", qos="short", nodes=2, gpus_per_node=8, time_limit_s=3600)

    assert errors(most) == []
