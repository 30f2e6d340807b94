"""Sites for the tests of the doctor: the captured one, and hand-made variations."""

from dataclasses import replace
from pathlib import Path

from launcher.doctor import parse
from launcher.doctor.request import Request
from launcher.doctor.site import Association, Limits, Qos, Site

CAPTURED = Path(__file__).parent / "captured"
REQUEST = Request(
    partitions=(None,),
    account=None,
    qos=None,
    constraint=None,
    reservation=None,
    min_nodes=4,
    max_nodes=4,
    gpus=8,
    cpus=8,
    mem_mb=None,
    time_s=12 * 3600,
)


def captured(name: str) -> str:
    """What a program of Slurm 22.05.8 printed on the test cluster."""
    return (CAPTURED / f"{name}.txt").read_text()


def the_cluster() -> Site:
    """The test cluster, where accounting is kept and not held to."""
    return Site(
        settings=parse.parse_settings(captured("config")),
        partitions=parse.parse_partitions(captured("partitions")),
        groups=parse.parse_nodes(captured("nodes")),
    )


def with_settings(site: Site, **settings: str) -> Site:
    """The same site with other settings."""
    assert isinstance(site.settings, dict)
    return replace(site, settings=site.settings | settings)


def with_default(site: Site, **fields: object) -> Site:
    """The same site, whose default partition differs."""
    first, *others = site.partitions
    return replace(site, partitions=[replace(first, **fields), *others])


def strict(limits: Limits | None = None, of_qos: Limits | None = None) -> Site:
    """A site that holds to accounting; one account `lab` with QOS `normal` and `short`."""
    site = with_settings(the_cluster(), AccountingStorageEnforce="associations,limits,qos,safe")
    mine = Association(
        account="lab",
        is_default=True,
        qos=frozenset(("normal", "short")),
        default_qos="normal",
        limits=limits or Limits(),
    )
    qos = [Qos(name="normal", limits=of_qos or Limits()), Qos(name="short"), Qos(name="other")]
    return replace(site, associations=[mine], qos=qos)
