"""What a site says of itself: settings, partitions, nodes, associations and QOS."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from launcher.cluster.base import NoAnswer


@dataclass(frozen=True, kw_only=True)
class Partition:
    """A partition, by `scontrol show partition -o`. None: no limit, or nothing is set.

    Attributes:
        name: Its name.
        is_default: Jobs that name none go there.
        state: UP, DOWN, DRAIN, or INACTIVE.
        total_nodes: Nodes that it has.
        min_nodes: Fewest that a job may ask for.
        max_nodes: Most that a job may ask for.
        max_time_s: Longest time limit of a job.
        nodes: Slurm's node list.
        qos: The QOS whose limits hold for all its jobs.
        allow_accounts: Accounts that may use it.
        deny_accounts: Accounts that may not.
        allow_qos: QOS that may use it.
        deny_qos: QOS that may not.
        allow_groups: Unix groups that may use it.
        needs_reservation: A job must name a reservation.
        preempt_mode: What happens to its jobs when others want their nodes.
        grace_s: Seconds from SIGTERM until a preempted job is ended.
    """

    name: str
    is_default: bool = False
    state: str = "UP"
    total_nodes: int | None = None
    min_nodes: int = 0
    max_nodes: int | None = None
    max_time_s: int | None = None
    nodes: str = ""
    qos: str | None = None
    allow_accounts: frozenset[str] | None = None
    deny_accounts: frozenset[str] = frozenset()
    allow_qos: frozenset[str] | None = None
    deny_qos: frozenset[str] = frozenset()
    allow_groups: frozenset[str] | None = None
    needs_reservation: bool = False
    preempt_mode: str = ""
    grace_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class NodeGroup:
    """Nodes of a partition that are alike, by `sinfo`.

    Attributes:
        partition: Its name.
        count: How many.
        cpus: Of each.
        mem_mb: Of each.
        gpus: Of each.
        state: Slurm's word, without its marks.
        features: That `constraint` may ask for.
        nodes: Slurm's node list.
    """

    partition: str
    count: int
    cpus: int
    mem_mb: int
    gpus: int
    state: str = "idle"
    features: frozenset[str] = frozenset()
    nodes: str = ""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a QOS or an association allows; None, or a missing key: no limit.

    Attributes:
        wall_s: Longest time limit of a job.
        job: Most that one job may have, by TRES (`node`, `cpu`, `gres/gpu`).
        job_least: Least that one job must ask for.
        user: Most that one user may have at a time.
        group: Most that all may have together at a time.
        max_submit: Most jobs, waiting ones included.
    """

    wall_s: int | None = None
    job: Mapping[str, int] = field(default_factory=dict)
    job_least: Mapping[str, int] = field(default_factory=dict)
    user: Mapping[str, int] = field(default_factory=dict)
    group: Mapping[str, int] = field(default_factory=dict)
    max_submit: int | None = None


@dataclass(frozen=True, kw_only=True)
class Qos:
    """A QOS.

    Attributes:
        name: Its name.
        flags: Slurm's words, such as `OverPartQOS`.
        grace_s: Seconds from SIGTERM until a preempted job of it is ended.
        limits: What it allows.
    """

    name: str
    flags: frozenset[str] = frozenset()
    grace_s: int | None = None
    limits: Limits = Limits()


@dataclass(frozen=True, kw_only=True)
class Association:
    """That a user may run jobs for an account.

    Attributes:
        account: The account.
        is_default: Of the user.
        partition: Where it holds; empty: everywhere.
        qos: The QOS that it may use.
        default_qos: The one that jobs get which name none.
        limits: What it allows.
    """

    account: str
    is_default: bool = False
    partition: str = ""
    qos: frozenset[str] = frozenset()
    default_qos: str | None = None
    limits: Limits = Limits()


@dataclass(frozen=True, kw_only=True)
class Site:
    """All that was asked; a part that was not answered says so itself.

    Attributes:
        settings: Of `scontrol show config`.
        partitions: All of them.
        groups: The nodes of all partitions.
        associations: Those of this user on this cluster; None: there is no accounting.
        qos: All of them; None: there is no accounting.
    """

    settings: Mapping[str, str] | NoAnswer
    partitions: Sequence[Partition] | NoAnswer
    groups: Sequence[NodeGroup] | NoAnswer
    associations: Sequence[Association] | NoAnswer | None = None
    qos: Sequence[Qos] | NoAnswer | None = None

    def setting(self, name: str) -> str:
        """A setting's value; empty where it is not known or nothing is set."""
        value = "" if isinstance(self.settings, NoAnswer) else self.settings.get(name, "")
        return "" if value in ("(null)", "N/A") else value

    @property
    def is_silent(self) -> bool:
        """No answer from slurmctld: more questions would only take their time."""
        return isinstance(self.settings, NoAnswer)

    @property
    def enforces(self) -> frozenset[str]:
        """What accounting is held to: `associations`, `limits`, `qos`, ..."""
        words = self.setting("AccountingStorageEnforce").lower().split(",")
        found = {word.strip() for word in words} - {"", "none"}
        if found & {"limits", "qos", "safe", "all"}:  # each of them wants associations too
            found |= {"associations"}
        if found & {"safe", "all"}:
            found |= {"limits"}
        return frozenset(found | ({"qos"} if "all" in found else set()))

    def partition(self, name: str | None) -> Partition | None:
        """The partition of this name, the default one without; None: it is not there."""
        if isinstance(self.partitions, NoAnswer):
            return None
        for partition in self.partitions:
            if partition.is_default if name is None else partition.name == name:
                return partition
        return None

    def groups_of(self, partition: str) -> list[NodeGroup]:
        """The nodes of a partition."""
        if isinstance(self.groups, NoAnswer):
            return []
        return [group for group in self.groups if group.partition == partition]
