"""Asks Slurm about the site: at most five questions, whatever the number of stages."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from launcher.cluster.base import NoAnswer
from launcher.cluster.notice import CONFIG, PARTITIONS
from launcher.cluster.slurm import ask
from launcher.doctor import parse
from launcher.doctor.site import Site
from launcher.identity import user_name

_NODES: Final = ["sinfo", "-h", "-a", "-e", "-o", parse.SINFO_FORMAT]
_QOS: Final = ["sacctmgr", "-nP", "show", "qos", f"format={parse.QOS_FORMAT}"]
_NAMED: Final = 4
"""Nodes of a partition whose names are tried: the first ones and the last."""


def ask_site() -> Site:
    """The site as it is now.

    sacctmgr takes a third of a second, and is asked only where accounting is held to.
    """
    with ThreadPoolExecutor() as pool:
        partitions = pool.submit(ask, list(PARTITIONS))
        groups = pool.submit(ask, _NODES)
        config = ask(list(CONFIG))
        settings = config if isinstance(config, NoAnswer) else parse.parse_settings(config)
        site = Site(settings=settings, partitions=NoAnswer(""), groups=NoAnswer(""))
        associations = qos = None
        if site.enforces:
            associations = pool.submit(ask, _associations())
            qos = pool.submit(ask, _QOS)
        said, nodes = partitions.result(), groups.result()
        mine = associations.result() if associations else None
        of_qos = qos.result() if qos else None
    cluster = site.setting("ClusterName")
    return Site(
        settings=settings,
        partitions=said if isinstance(said, NoAnswer) else parse.parse_partitions(said),
        groups=nodes if isinstance(nodes, NoAnswer) else parse.parse_nodes(nodes),
        associations=parse.parse_associations(mine, cluster) if isinstance(mine, str) else mine,
        qos=parse.parse_qos(of_qos) if isinstance(of_qos, str) else of_qos,
    )


def _associations() -> list[str]:
    form = f"format={parse.ASSOC_FORMAT}"
    return ["sacctmgr", "-nP", "show", "user", user_name(), "withassoc", form]


def node_names(node_list: str) -> list[str]:
    """The nodes of Slurm's node list; Slurm itself takes it apart, without asking slurmctld."""
    said = ask(["scontrol", "show", "hostnames", node_list]) if node_list else ""
    return said.split() if isinstance(said, str) else []


def some(names: list[str]) -> list[str]:
    """A few of them, from both ends."""
    half = _NAMED // 2
    return names if len(names) <= _NAMED else [*names[:half], *names[-half:]]


def node_hosts() -> frozenset[str]:
    """The machines behind all nodes; empty: it cannot be told."""
    said = ask(["sinfo", "-h", "-a", "-o", "%n"])
    return frozenset() if isinstance(said, NoAnswer) else frozenset(said.split())


def client_version() -> str:
    """What `sbatch --version` prints; empty without sbatch."""
    said = ask(["sbatch", "--version"])
    return "" if isinstance(said, NoAnswer) else said.strip()


def ignored_variables() -> tuple[str, ...]:
    """Variables that sbatch would read and that a submit keeps from it; none inside of a job."""
    if "SLURM_JOB_ID" in os.environ:
        return ()
    return tuple(sorted(name for name in os.environ if name.startswith("SBATCH_")))
