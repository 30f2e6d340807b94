"""Where jobs run: Slurm, or this machine."""

from launcher.cluster.base import Cluster
from launcher.cluster.local import LocalCluster
from launcher.cluster.slurm import SlurmCluster, slurm_answers

__all__ = ["Cluster", "LocalCluster", "SlurmCluster", "open_cluster"]


def open_cluster(backend: str) -> Cluster:
    """The cluster of this name; `auto` is Slurm where it answers, else this machine."""
    if backend == "auto":
        backend = "slurm" if slurm_answers() else "local"
    return SlurmCluster() if backend == "slurm" else LocalCluster()
