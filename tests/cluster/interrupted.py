"""What tests of interrupted runs look at: the attempts of `second`, and its children's waits."""

from tests.cluster.followed import Followed
from tests.cluster.slurm_cluster import SlurmCluster as Daemons

ALL_NODES = "cluster.nodes=4"


def never_satisfied(slurm: Daemons) -> list[str]:
    """Jobs that wait for parents that can never succeed."""
    told = slurm.run("squeue", "-h", "-o", "%i %r").splitlines()
    return [line for line in told if "DependencyNeverSatisfied" in line]


def fields(run: Followed, *names: str, stage: str = "second") -> list[tuple[object, ...]]:
    """Of the attempts of a stage."""
    return [tuple(getattr(a, name) for name in names) for a in run.rows[stage].attempts]


def newest_job(run: Followed, stage: str = "second") -> str:
    """The job of a stage."""
    return run.rows[stage].submissions[-1].slurm_id or ""
