"""What a stage asks Slurm for, its own sbatch options included. Pure."""

import math
from dataclasses import dataclass

from launcher.pipeline import ClusterSettings

_SIZES = frozenset(
    ("nodes", "time", "mem", "gres", "gpus", "gpus-per-node", "cpus-per-task", "constraint")
)
"""Options of sbatch that go before the keys of the pipeline file; they are not read here."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A job's request.

    Attributes:
        partitions: Slurm takes the one that starts it first; (None,): the default one.
        account: Who pays; None: the user's default account.
        qos: None: the default one.
        constraint: Features of the nodes.
        reservation: A reservation.
        min_nodes: The fewest nodes.
        max_nodes: The most.
        gpus: Of each node.
        cpus: Of each node.
        cpus_key: The key of `cluster` that asks for them.
        mem_mb: Of each node; None: Slurm's default.
        time_s: Time limit.
        unread: Options of sbatch that say otherwise, in a way that is not read here.
    """

    partitions: tuple[str | None, ...]
    account: str | None
    qos: str | None
    constraint: str | None
    reservation: str | None
    min_nodes: int
    max_nodes: int
    gpus: int
    cpus: int
    mem_mb: int | None
    time_s: int
    unread: tuple[str, ...] = ()
    cpus_key: str = "cpus_per_task"

    @property
    def size(self) -> str:
        """In words, such as `4 nodes x 8 GPUs`."""
        span = f"{self.min_nodes}-" if self.min_nodes < self.max_nodes else ""
        plural = "s" if self.max_nodes > 1 else ""
        return f"{span}{self.max_nodes} node{plural} x {self.gpus} GPUs"


def request_of(settings: ClusterSettings) -> Request:
    """The request that these settings become."""
    theirs = {name.replace("_", "-"): value for name, value in settings.sbatch.items()}

    def chosen(name: str, ours: str | None) -> str | None:
        value = theirs.get(name, ours)
        return value if isinstance(value, str) and value else None

    by_gpu = settings.cpus_per_task is None and settings.cpus_per_gpu is not None
    partition = chosen("partition", settings.partition)
    return Request(
        partitions=tuple(partition.split(",")) if partition else (None,),
        account=chosen("account", settings.account),
        qos=chosen("qos", settings.qos),
        constraint=chosen("constraint", settings.constraint),
        reservation=chosen("reservation", settings.reservation),
        min_nodes=settings.min_nodes,
        max_nodes=settings.max_nodes,
        gpus=settings.gpus_per_node,
        cpus=settings.tasks * (settings.cpus_of_task or 1),
        mem_mb=math.ceil(settings.mem_gb * 1024) if settings.mem_gb else None,
        time_s=math.ceil(settings.time_limit_s / 60) * 60,
        unread=tuple(sorted(_SIZES & theirs.keys())),
        cpus_key="cpus_per_gpu" if by_gpu else "cpus_per_task",
    )
