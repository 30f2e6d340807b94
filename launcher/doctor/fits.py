"""Whether a request fits the partition that it names: how many nodes, how long. Pure."""

from collections.abc import Iterator
from dataclasses import replace

from jobs.contract.units import format_duration
from launcher.cluster.base import NoAnswer
from launcher.doctor.finding import Finding, Level
from launcher.doctor.nodes import FOR_EVER, nodes_fit
from launcher.doctor.request import Request
from launcher.doctor.site import Partition, Site


def fits(request: Request, site: Site, groups: frozenset[str] | None = None) -> list[Finding]:
    """What is found in the partitions that a request names; with several, one must fit.

    Args:
        request: The request.
        site: The site.
        groups: Unix groups of the user; None: they are not looked at, as for root.
    """
    if isinstance(site.partitions, NoAnswer):
        return [_unknown(site.partitions)]
    found = [list(_in_partition(request, site, name, groups)) for name in request.partitions]
    bad = [any(finding.level is Level.ERROR for finding in each) for each in found]
    if not all(bad):
        found = [[_softened(finding) for finding in each] for each in found]
    return [finding for each in found for finding in each]


def _softened(finding: Finding) -> Finding:
    """Where another partition of the list fits, what does not is no error."""
    if finding.level is not Level.ERROR:
        return finding
    return replace(finding, level=Level.WARNING, why="only the other partitions can run it")


def _unknown(silence: NoAnswer) -> Finding:
    return Finding(
        level=Level.UNKNOWN,
        id="slurm-silent",
        where="cluster",
        what=f"whether the job fits its partition: {silence.what}",
        next="try again when Slurm answers",
    )


def _in_partition(
    request: Request, site: Site, name: str | None, groups: frozenset[str] | None
) -> Iterator[Finding]:
    partition = site.partition(name)
    if partition is None:
        yield _no_partition(site, name)
        return
    problems = [
        *_size(request, partition),
        *_time(request, site, partition),
        *_doors(request, partition, groups),
        *nodes_fit(request, site, partition),
    ]
    yield from problems
    if request.unread:
        yield Finding(
            level=Level.UNKNOWN,
            id="sbatch-options",
            where="cluster.sbatch",
            what=f"{', '.join(request.unread)}: not compared with the partition",
            next="use the keys of `cluster` where there are some",
        )
    if not problems:
        longest = partition.max_time_s
        limit = "no time limit" if longest is None else f"at most {format_duration(longest)}"
        yield Finding(
            level=Level.OK,
            id="fits",
            where="cluster",
            what=f"{request.size} for {format_duration(request.time_s)} fit partition "
            f"{partition.name} ({partition.total_nodes} nodes, {limit})",
        )


def _no_partition(site: Site, name: str | None) -> Finding:
    known = [] if isinstance(site.partitions, NoAnswer) else [p.name for p in site.partitions]
    listed = f"known: {', '.join(known)}" if known else "sinfo shows none"
    if name is None:
        return _error(
            "partition",
            "partition-unknown",
            "Slurm has no default partition",
            f"name one; {listed}",
        )
    return _error("partition", "partition-unknown", f"Slurm knows no partition {name}", listed)


def _size(request: Request, partition: Partition) -> Iterator[Finding]:
    name, asked = partition.name, request.min_nodes
    allowed = partition.max_nodes if partition.max_nodes is not None else asked
    there = partition.total_nodes if partition.total_nodes is not None else asked
    if asked > there:
        what = f"{asked} nodes are asked for, partition {name} has {there}"
    elif asked > allowed:
        what = f"{asked} nodes are asked for, partition {name} allows a job {allowed}"
    elif request.max_nodes < partition.min_nodes:
        fewest = partition.min_nodes
        yield _error(
            "nodes",
            "nodes-too-few",
            f"{request.max_nodes} nodes are asked for, partition {name} wants {fewest} at least",
            f"ask for {fewest}, or name another partition",
        )
        return
    else:
        return
    yield _error(
        "nodes",
        "nodes-too-many",
        what,
        "ask for fewer, or name another partition",
        why=f"{FOR_EVER} (PartitionNodeLimit)",
    )


def _time(request: Request, site: Site, partition: Partition) -> Iterator[Finding]:
    longest = partition.max_time_s
    if longest is None or request.time_s <= longest:
        return
    found = _error(
        "time_limit",
        "time-too-long",
        f"{format_duration(request.time_s)} are asked for, partition {partition.name} allows "
        f"{format_duration(longest)}",
        "lower it: a stage goes on in its next attempt where it was",
        why=f"{FOR_EVER} (PartitionTimeLimit)",
    )
    qos = site.qos if isinstance(site.qos, list | tuple) else ()
    if any(each.name == request.qos and "PartitionTimeLimit" in each.flags for each in qos):
        found = replace(found, level=Level.NOTE, why=f"QOS {request.qos} may go beyond", next="")
    yield found


def _doors(
    request: Request, partition: Partition, groups: frozenset[str] | None
) -> Iterator[Finding]:
    """Who may come in, and whether it is open."""
    name = partition.name
    if partition.needs_reservation and request.reservation is None:
        yield _error(
            "reservation",
            "reservation-needed",
            f"partition {name} takes only jobs that name a reservation",
            "name yours in cluster.reservation",
        )
    allowed = partition.allow_groups
    if groups is not None and allowed is not None and not allowed & groups:
        yield Finding(
            level=Level.WARNING,
            id="groups",
            where="cluster.partition",
            what=f"partition {name} is for groups {', '.join(sorted(allowed))}, of which you are "
            "in none here",
            why="Slurm refuses the job where slurmctld's machine sees it so, too",
            next="ask the site to add you, or name another partition",
        )
    if partition.state != "UP":
        yield Finding(
            level=Level.WARNING,
            id="partition-not-up",
            where="cluster.partition",
            what=f"partition {name} is {partition.state}",
            why="no job starts in it until that changes",
            next="ask the site when it comes back, or name another partition",
        )


def _error(key: str, id_: str, what: str, next_: str, why: str = "") -> Finding:
    where = f"cluster.{key}"
    return Finding(level=Level.ERROR, id=id_, where=where, what=what, why=why, next=next_)
