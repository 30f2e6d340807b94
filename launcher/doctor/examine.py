"""All checks together: the quick ones of a submit, or all of them, by subject."""

import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from db.engine import ledger_url
from db.health import look_at
from launcher.cluster.base import NoAnswer
from launcher.cluster.notice import Notice, notice_of
from launcher.cron.survey import survey
from launcher.disk import needs
from launcher.doctor import ask, facts, on_node
from launcher.doctor.finding import Finding, Level
from launcher.doctor.fits import fits
from launcher.doctor.ledger import Passes, ledger, passes
from launcher.doctor.policies import policies
from launcher.doctor.probe import START_S, probe
from launcher.doctor.probed import probed
from launcher.doctor.request import Request, request_of
from launcher.doctor.rights import rights
from launcher.doctor.site import Site
from launcher.doctor.slices import slices
from launcher.doctor.storage import room, sharing
from launcher.doctor.surroundings import Python, names, surroundings, variables
from launcher.findings import placed
from launcher.grace import Notices, judge, timings_of
from launcher.identity import group_names, user_name
from launcher.past import NOTHING, Past
from launcher.pipeline import ClusterSettings, Pipeline, Stage
from launcher.remember import remember

_NAMES_S = 5.0


@dataclass(frozen=True)
class Section:
    """What was found of one subject.

    Attributes:
        title: The subject.
        findings: In the order they were found.
    """

    title: str
    findings: tuple[Finding, ...]


def jobs(pipeline: Pipeline) -> list[Stage]:
    """The stages that become jobs."""
    return [stage for stage in pipeline.stages if stage.kind != "reuse"]


def quick(pipeline: Pipeline) -> list[Finding]:
    """What a submit to Slurm tells: no job, no other Python, five questions at most."""
    site, pasts = ask.ask_site(), remember(pipeline).recall(pipeline)
    disk = facts.look_at_disk(pipeline.runs, site, with_quota=False)
    around = replace(facts.look_around(None), unset=facts.look_at_variables(pipeline)[0])
    found = [
        *of_stages(pipeline, site, pasts),
        sharing(disk),
        *room(disk, *needs(pipeline, pasts)),
        *variables(around),
        *([] if site.is_silent else _passes(pipeline.runs)),  # scrontab would ask it, too
    ]
    kept = [each for each in found if each.id not in ("slice-unknown", "room-unknown")]
    return _placed(pipeline, kept)


def of_stages(pipeline: Pipeline, site: Site, pasts: Mapping[str, Past]) -> list[Finding]:
    """What Slurm and earlier runs have against the stages; those that ask the same share it."""
    groups: dict[Request, list[Stage]] = {}
    for stage in jobs(pipeline):
        groups.setdefault(request_of(stage.cluster), []).append(stage)
    found: list[Finding] = []
    count = sum(map(len, groups.values()))
    mine = group_names()
    for request, stages in groups.items():
        told = [*fits(request, site, mine), *rights(request, site, user_name(), jobs=count)]
        found += [_of(stages, finding) for finding in told]
    trained = [stage for stage in jobs(pipeline) if stage.train is not None]
    timings, hazards = timings_of(pipeline, trained), facts.hazards(pipeline)
    notices = {stage.name: _notice(site, stage) for stage in trained}
    found += judge(trained, Notices(notices, timings))
    for stage in trained:
        if stage.name in timings:
            past, hard_per_s = pasts.get(stage.name, NOTHING), hazards.get(stage.name, 0.0)
            found += slices(stage, timings[stage.name], past, hard_per_s)
    return list(dict.fromkeys(found))


def _of(stages: Sequence[Stage], finding: Finding) -> Finding:
    """A finding about a request, as one about the stages that make it."""
    others = ", ".join(stage.name for stage in stages[1:])
    also = f" (also {others})" if others else ""
    return replace(finding, where=f"stages.{stages[0].name}.{finding.where}{also}")


def _notice(site: Site, stage: Stage) -> Notice | NoAnswer:
    """The notice of a stage's partition; where QOS says and is known, that of its QOS."""
    partition = site.partition(request_of(stage.cluster).partitions[0])
    if partition is None or isinstance(site.settings, NoAnswer):
        return NoAnswer("the partition is not known")
    of_qos = site.qos if isinstance(site.qos, list) else []
    graces = {each.name: each.grace_s for each in of_qos}
    return notice_of(
        partition.name,
        site.setting("PreemptType"),
        partition.preempt_mode or site.setting("PreemptMode"),
        partition.grace_s,
        qos_grace_s=graces.get(stage.cluster.qos or ""),
    )


def _passes(runs: Path) -> Iterable[Finding]:
    now = time.time()
    found = survey(runs)
    good = found.good
    ago = None if good is None else now - (good.ended_at or good.started_at)
    tables = tuple(found.installed)
    yield passes(Passes(tables, found.every_min, ago, found.is_late(now)))


def _placed(pipeline: Pipeline, found: Iterable[Finding]) -> list[Finding]:
    """With the place in the file before each key of a stage."""
    return [replace(each, where=placed(pipeline, each.where)) for each in found]


def full(pipeline: Pipeline | None, runs: Path, site: Site | None) -> list[Section]:
    """Everything but a look from a node.

    Args:
        pipeline: What would be submitted; None: only what is around is looked at.
        runs: The folder of runs.
        site: Slurm's answers; None: jobs run on this machine.
    """
    sections = []
    around = facts.look_around(pipeline)
    pasts = remember(pipeline).recall(pipeline) if pipeline else {}
    if site is not None:
        sections.append(Section("site", tuple(policies(site))))
    if pipeline is not None and site is not None:
        found = of_stages(pipeline, site, pasts)
        sections.append(Section("pipeline", tuple(_placed(pipeline, found))))
    if site is not None:
        sections.append(Section("names", tuple(_names(pipeline, site))))
    disk = facts.look_at_disk(runs, site, with_quota=True)
    needed = needs(pipeline, pasts) if pipeline else ((), ())
    stored = [*([sharing(disk)] if site is not None else []), *room(disk, *needed)]
    sections.append(Section("runs folder", tuple(stored)))
    sections.append(Section("ledger", tuple(ledger(look_at(ledger_url(runs))))))
    if site is not None:  # runs of this machine are seen through by `submit` itself
        sections.append(Section("passes", tuple(_passes(runs))))
    sections.append(Section("environment", tuple(surroundings(around))))
    return sections


def nodes_of(pipeline: Pipeline | None, site: Site) -> list[str]:
    """The names of the nodes that the pipeline's partitions have; of the default one without."""
    stages = jobs(pipeline) if pipeline else []
    wanted = {name for stage in stages for name in request_of(stage.cluster).partitions}
    found = [site.partition(name) for name in wanted or {None}]
    lists = sorted({partition.nodes for partition in found if partition and partition.nodes})
    return ask.node_names(",".join(lists))


def _names(pipeline: Pipeline | None, site: Site) -> Iterable[Finding]:
    nodes = nodes_of(pipeline, site)
    if not nodes:
        yield Finding(
            level=Level.UNKNOWN,
            id="names",
            what="names of nodes: Slurm gives none",
            next="look whether the partition has nodes: sinfo",
        )
        return
    resolved = facts.resolve(facts.tried_names(nodes), wait_s=_NAMES_S)
    yield from names(resolved, socket.gethostname(), total=len(nodes))


def has_errors(sections: Iterable[Section]) -> bool:
    """Whether there is an error among them."""
    return any(each.level is Level.ERROR for section in sections for each in section.findings)


def look_from_nodes(
    pipeline: Pipeline | None, runs: Path, site: Site, start_s: int | None
) -> Section:
    """A job of one task for each partition, account and Python that stages ask for."""
    asked: dict[tuple[object, ...], Stage] = {}
    for stage in jobs(pipeline) if pipeline else []:
        request = request_of(stage.cluster)
        key = (request.partitions, request.account, request.qos, stage.cluster.python, request.gpus)
        asked.setdefault(key, stage)
    nearest = runs.absolute()
    while not nearest.exists():
        nearest = nearest.parent
    names_ = facts.tried_names(nodes_of(pipeline, site))
    here = Python("this Python", on_node.versions(facts.PACKAGES))
    found: list[Finding] = []
    wanted: list[Stage | None] = list(asked.values()) or [None]
    for one in wanted:
        settings = one.cluster if one else ClusterSettings(time_limit_s=60)
        seen = probe(settings, nearest, names_, start_s=start_s or START_S)
        partition = settings.partition or "default partition"
        trains = one is not None and (one.train or one.evaluate) is not None
        where = f"partition {partition}" if settings.partition else partition
        found += probed(seen, where, here, gpus=settings.gpus_per_node, trains=trains)
    return Section("from a node", tuple(found))
