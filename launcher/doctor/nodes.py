"""Whether as many nodes of a partition have what is asked of each. Pure."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from launcher.cluster.base import NoAnswer
from launcher.doctor.finding import Finding, Level
from launcher.doctor.request import Request
from launcher.doctor.site import NodeGroup, Partition, Site

FOR_EVER: Final = "Slurm refuses it or lets it wait for ever"
_AWAY: Final = ("down", "drain", "fail", "maint", "unk", "futur", "inval", "reboot", "error")
"""How the words begin for nodes that take no job now."""
_FEATURES: Final = re.compile(r"[\w.-]+(?:&[\w.-]+)*", re.ASCII)


def nodes_fit(request: Request, site: Site, partition: Partition) -> Iterator[Finding]:
    """What keeps the nodes of a partition from taking the request."""
    if isinstance(site.groups, NoAnswer):
        yield Finding(
            level=Level.UNKNOWN,
            id="slurm-silent",
            where="cluster",
            what=f"what the nodes have: {site.groups.what}",
            next="try again when Slurm answers",
        )
        return
    groups, wanted = site.groups_of(partition.name), request.min_nodes
    if not groups or (partition.total_nodes is not None and partition.total_nodes < wanted):
        return  # told already
    for amount in _amounts(request):
        enough = _count(group for group in groups if amount.of(group) >= amount.asked)
        if amount.asked and enough < wanted:
            most = max(map(amount.of, groups))
            asked = f"{amount.asked} {amount.unit}"
            yield _lacking(partition, (amount.key, amount.id), asked, f"{most} at most", enough)
            return
    able = [group for group in groups if _is_able(group, request)]
    wants_features = request.constraint is not None
    if wants_features and not _FEATURES.fullmatch(request.constraint or ""):
        yield Finding(
            level=Level.UNKNOWN,
            id="constraint",
            where="cluster.constraint",
            what=f"{request.constraint}: only names joined by & are compared with the nodes",
            next="compare it with the features of the nodes: sinfo -o '%P %D %f'",
        )
    elif _count(able) < wanted:
        asked = f"all that is asked for and {request.constraint}" if wants_features else "it all"
        known = ", ".join(sorted(frozenset().union(*(g.features for g in groups)))) or "none"
        of = ("constraint", "nodes-unfit")
        yield _lacking(partition, of, asked, f"features there: {known}", _count(able))
    else:
        yield from _up(partition, able, wanted)


def _up(partition: Partition, able: list[NodeGroup], wanted: int) -> Iterator[Finding]:
    """Whether enough of the nodes that could take it are there now."""
    total = _count(able)
    away = _count(group for group in able if group.state.startswith(_AWAY))
    if total - away < wanted:
        yield Finding(
            level=Level.WARNING,
            id="nodes-away",
            where="cluster.nodes",
            what=f"{away} of the {total} nodes of partition {partition.name} that can take it are "
            f"down or drained, {wanted} are asked for",
            why="it waits until they are back",
            next="ask for fewer, or wait",
        )


@dataclass(frozen=True)
class _Amount:
    """What is asked of each node."""

    key: str
    id: str
    asked: int
    unit: str
    of: Callable[[NodeGroup], int]


def _amounts(request: Request) -> tuple[_Amount, ...]:
    return (
        _Amount("gpus_per_node", "gpus-too-many", request.gpus, "GPUs", lambda g: g.gpus),
        _Amount(request.cpus_key, "cpus-too-many", request.cpus, "CPU cores", lambda g: g.cpus),
        _Amount("mem", "memory-too-much", request.mem_mb or 0, "MB", lambda g: g.mem_mb),
    )


def _is_able(group: NodeGroup, request: Request) -> bool:
    wanted = set(request.constraint.split("&")) if request.constraint else set()
    return (
        group.gpus >= request.gpus
        and group.cpus >= request.cpus
        and group.mem_mb >= (request.mem_mb or 0)
        and (wanted <= group.features or not _FEATURES.fullmatch(request.constraint or ""))
    )


def _count(groups: Iterable[NodeGroup]) -> int:
    return sum(group.count for group in groups)


def _lacking(
    partition: Partition, of: tuple[str, str], asked: str, most: str, count: int
) -> Finding:
    key, id_ = of
    return Finding(
        level=Level.ERROR,
        id=id_,
        where=f"cluster.{key}",
        what=f"{count} of {partition.total_nodes} nodes of partition {partition.name} have {asked} "
        f"({most})",
        why=FOR_EVER,
        next="ask for less, or name another partition",
    )
