"""Whether accounting lets the user do it: account, QOS, and the limits of both. Pure.

Of a limit that several set, Slurm takes the first of: the partition's QOS, the job's, the
association (https://slurm.schedmd.com/resource_limits.html).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jobs.contract.units import format_duration
from launcher.cluster.base import NoAnswer
from launcher.doctor.finding import Finding, Level
from launcher.doctor.nodes import FOR_EVER
from launcher.doctor.request import Request
from launcher.doctor.site import Association, Limits, Qos, Site


def rights(request: Request, site: Site, user: str, *, jobs: int) -> list[Finding]:
    """What accounting has against a request.

    Args:
        request: The request.
        site: The site.
        user: The user's name.
        jobs: How many jobs are submitted at once.
    """
    if isinstance(site.settings, NoAnswer) or not site.enforces:
        return []  # `policies` tells
    if isinstance(site.associations, NoAnswer) or site.associations is None:
        return [_unknown(site.associations)]
    if isinstance(site.qos, NoAnswer) or site.qos is None:
        return [_unknown(site.qos)]
    found = _account(request, site.associations, user)
    if isinstance(found, Finding):
        return [found]
    return list(_with_account(request, site, found, {each.name: each for each in site.qos}, jobs))


def _unknown(silence: NoAnswer | None) -> Finding:
    what = "accounting was not asked" if silence is None else silence.what
    return Finding(
        level=Level.UNKNOWN,
        id="accounting-silent",
        where="cluster",
        what=f"account, QOS and their limits: {what}",
        next="try again when slurmdbd answers",
    )


def _account(
    request: Request, associations: Sequence[Association], user: str
) -> Association | Finding:
    """The association that the job would run under."""
    mine = [
        each
        for each in associations
        if (each.account == request.account if request.account else each.is_default)
    ]
    fits = [each for each in mine if each.partition in ("", *request.partitions)]
    if fits:
        return max(fits, key=lambda each: each.partition != "")
    known = ", ".join(sorted({each.account for each in associations})) or "none"
    if not mine and request.account:
        what = f"{user} may not use account {request.account}"
    elif not mine:
        what = f"{user} has no default account"
    else:
        only = ", ".join(sorted({each.partition for each in mine}))
        what = f"account {mine[0].account} is for partition {only} only"
    return Finding(
        level=Level.ERROR,
        id="account",
        where="cluster.account",
        what=what,
        why="Slurm refuses the job (InvalidAccount)",
        next=f"name another in cluster.account; {user}'s: {known}",
    )


def _with_account(
    request: Request, site: Site, mine: Association, qos: dict[str, Qos], jobs: int
) -> Iterator[Finding]:
    partition = site.partition(request.partitions[0])
    if partition is not None:
        allowed, denied = partition.allow_accounts, partition.deny_accounts
        if (allowed is not None and mine.account not in allowed) or mine.account in denied:
            listed = ", ".join(sorted(allowed or ())) or "all others"
            yield _error(
                "account",
                "account-not-in-partition",
                f"partition {partition.name} does not take account {mine.account}",
                f"name another account or partition; it takes: {listed}",
            )
    name = request.qos or mine.default_qos
    if "qos" in site.enforces and request.qos and request.qos not in mine.qos:
        has = ", ".join(sorted(mine.qos)) or "none"
        what = f"account {mine.account} may not use QOS {request.qos}"
        if request.qos not in qos:
            what = f"Slurm knows no QOS {request.qos}"
        yield _error("qos", "qos", what, f"the account's: {has}", why=f"{FOR_EVER} (InvalidQOS)")
        return
    if partition is not None and name is not None:
        wrong = partition.allow_qos is not None and name not in partition.allow_qos
        if wrong or name in partition.deny_qos:
            what = f"partition {partition.name} does not take QOS {name}"
            yield _error("qos", "qos-not-in-partition", what, "name another QOS or partition")
    if "limits" in site.enforces:
        of_partition = qos.get(partition.qos) if partition is not None and partition.qos else None
        yield from _limits(request, _Sources(of_partition, qos.get(name or ""), mine), jobs)


@dataclass(frozen=True)
class _Sources:
    """Who sets limits for a job."""

    partition_qos: Qos | None
    qos: Qos | None
    association: Association

    def in_order(self) -> list[tuple[str, Limits]]:
        """Each with its name, the one that counts first."""
        all_qos = [self.partition_qos, self.qos]
        if self.qos is not None and "OverPartQOS" in self.qos.flags:
            all_qos.reverse()
        named = [(f"QOS {each.name}", each.limits) for each in all_qos if each is not None]
        return [*named, (f"account {self.association.account}", self.association.limits)]


def _limits(request: Request, sources: _Sources, jobs: int) -> Iterator[Finding]:
    walls = ((who, limits.wall_s) for who, limits in sources.in_order())
    who, wall_s = next(((who, s) for who, s in walls if s is not None), ("", None))
    if wall_s is not None and request.time_s > wall_s:
        asked, most = format_duration(request.time_s), format_duration(wall_s)
        what = f"{asked} are asked for, {who} allows a job {most}"
        reason = "QOS" if who.startswith("QOS") else "Assoc"
        why = f"{FOR_EVER} ({reason}MaxWallDurationPerJobLimit)"
        yield _error("time_limit", "wall-limit", what, "lower it", why=why)
    for kind, key, count in _wanted(request):
        told = _beyond(kind, count, sources)
        if told:
            why = f"{FOR_EVER} (QOSMax..., AssocMax... or AssocGrp...)"
            next_ = "ask for less, or name another QOS or account"
            yield _error(key, "tres-limit", told, next_, why=why)
    for who, limits in sources.in_order():
        if limits.max_submit is not None and jobs > limits.max_submit:
            what = f"{jobs} jobs are submitted at once, {who} allows {limits.max_submit}"
            yield _error("qos", "submit-limit", what, "submit part of the stages, with --from")
            return


def _wanted(request: Request) -> tuple[tuple[str, str, int], ...]:
    """By TRES: the key that asks for it and how much."""
    nodes = request.min_nodes
    return (
        ("node", "nodes", nodes),
        ("gres/gpu", "gpus_per_node", nodes * request.gpus),
        ("cpu", request.cpus_key, nodes * request.cpus),
    )


def _beyond(kind: str, count: int, sources: _Sources) -> str:
    """What is said when a job wants more than it may ever have; empty: it does not."""
    unit = {"node": "nodes", "gres/gpu": "GPUs", "cpu": "CPU cores"}[kind]
    for field, of in (("job", "a job"), ("user", "a user"), ("group", "all its jobs")):
        for who, limits in sources.in_order():
            most = getattr(limits, field).get(kind)
            if most is None:
                continue
            if count > most:
                return f"{count} {unit} are asked for, {who} allows {of} {most}"
            break  # the first that sets it counts
    for who, limits in sources.in_order():
        least = limits.job_least.get(kind)
        if least is not None and 0 < count < least:
            return f"{count} {unit} are asked for, {who} wants {least} at least"
    return ""


def _error(key: str, id_: str, what: str, next_: str, why: str = "") -> Finding:
    where = f"cluster.{key}"
    return Finding(level=Level.ERROR, id=id_, where=where, what=what, why=why, next=next_)
