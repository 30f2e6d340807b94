"""Whether a job that is told to stop gets the time to save, before it is handed over.

A stop comes in the middle of a step, and of a save: the step is finished, the save too, then all is
saved once more and the job puts itself back into the queue. Ranks that wait for each other, and a
slow `squeue` or `scontrol`, can make it up to 25 s longer; that is not counted.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import ceil

from db.engine import ledger_url
from db.errors import LedgerError
from db.ledger import Ledger
from db.timings import Timing, timing_of
from jobs.contract.units import format_duration
from launcher.cluster.base import Cluster, NoAnswer
from launcher.cluster.notice import Notice
from launcher.doctor.finding import Finding, Level
from launcher.findings import placed
from launcher.pipeline import Pipeline, Stage

REQUEUE_S = 5.0
"""For the exit event and `scontrol requeue`."""
_QOS = "sacctmgr show qos format=Name,PreemptMode,GraceTime"


@dataclass(frozen=True)
class Notices:
    """What partitions say, and what stages took.

    Attributes:
        notices: Of each stage's partition, by stage.
        timings: By stage.
    """

    notices: Mapping[str, Notice | NoAnswer]
    timings: Mapping[str, Timing]


def preflight(pipeline: Pipeline, open_cluster: Callable[[str], Cluster]) -> tuple[Finding, ...]:
    """Asks the clusters and the ledger about the stages that train."""
    stages = [stage for stage in pipeline.stages if stage.train is not None]
    clusters = {backend: open_cluster(backend) for backend in {s.cluster.backend for s in stages}}
    asked: dict[tuple[str, str | None], Notice | NoAnswer] = {}
    for backend, partition in {(s.cluster.backend, s.cluster.partition) for s in stages}:
        asked[backend, partition] = clusters[backend].notice(partition)
    notices = {s.name: asked[s.cluster.backend, s.cluster.partition] for s in stages}
    found = judge(stages, Notices(notices, timings_of(pipeline, stages)))
    return tuple(replace(each, where=placed(pipeline, each.where)) for each in found)


def timings_of(pipeline: Pipeline, stages: Iterable[Stage]) -> dict[str, Timing]:
    """What the ledger knows of the stages; empty where there is none."""
    try:
        ledger = Ledger.open(ledger_url(pipeline.runs), create=False)
        with ledger.read() as session:
            return {stage.name: timing_of(session, pipeline.name, stage.name) for stage in stages}
    except LedgerError:  # there is none yet; of one that is broken `submit` tells by itself
        return {}


def judge(stages: Iterable[Stage], known: Notices) -> tuple[Finding, ...]:
    """What to tell of each stage; nothing where all fits.

    Stages of which the same cannot be told yet share a finding.
    """
    found: list[Finding] = []
    unknown: dict[Finding, list[str]] = {}
    for stage in stages:
        timing = known.timings.get(stage.name, Timing())
        told = [
            *_preemption(stage, known.notices[stage.name], timing),
            *_time_limit(stage, timing),
        ]
        for finding in told:
            if finding.level is Level.UNKNOWN:
                unknown.setdefault(finding, []).append(stage.name)
            else:
                found.append(replace(finding, where=f"stages.{stage.name}"))
    return (*found, *(replace(each, where=", ".join(names)) for each, names in unknown.items()))


def needed_s(timing: Timing) -> float | None:
    """Seconds from a stop signal to the end of the job, as a rule; None: not known."""
    if timing.step_s is None or timing.save_s is None:
        return None
    return timing.step_s + 2 * timing.save_s + REQUEUE_S


def _preemption(stage: Stage, notice: Notice | NoAnswer, timing: Timing) -> Iterator[Finding]:
    """What losing the nodes to another job costs, or that it cannot be told."""
    if isinstance(notice, NoAnswer) or not notice.preempts:
        return  # no answer: as on a machine where pipelines are only planned
    need_s, partition = needed_s(timing), notice.partition
    if notice.grace_s is None:
        yield _unknown(
            f"the notice in partition {partition} is that of the job's QOS; {_takes(timing)}",
            f"compare: {_QOS}",
        )
    elif notice.grace_s == 0:
        yield _warning(
            "no-grace",
            f"partition {partition} gives no grace (GraceTime=0)",
            "a preemption can cost up to one checkpoint interval",
            _how_to_lose_less(stage),
        )
    elif need_s is None:
        yield _unknown(
            f"partition {partition} gives {notice.grace_s:g} s; whether a save fits is not known "
            "before a run of this pipeline has saved"
        )
    elif need_s > notice.grace_s:
        yield _warning(
            "grace-too-short",
            f"partition {partition} gives {notice.grace_s:g} s; {_takes(timing)}",
            "a preemption can cost up to one checkpoint interval",
            f"ask for GraceTime={ceil(need_s)}, or {_how_to_lose_less(stage)}",
        )


def _time_limit(stage: Stage, timing: Timing) -> Iterator[Finding]:
    need_s, lead_s = needed_s(timing), stage.cluster.signal_lead_s
    if need_s is not None and need_s > lead_s:
        yield _warning(
            "lead-too-short",
            f"it is told to save {format_duration(lead_s)} before its time limit; {_takes(timing)}",
            "each attempt can lose what it did since its last save",
            f"set cluster.signal_lead to {format_duration(ceil(need_s))}",
        )


def _warning(id_: str, what: str, why: str, next_: str) -> Finding:
    return Finding(level=Level.WARNING, id=id_, what=what, why=why, next=next_)


def _unknown(what: str, next_: str = "") -> Finding:
    return Finding(level=Level.UNKNOWN, id="grace-unknown", what=what, next=next_)


def _takes(timing: Timing) -> str:
    need_s = needed_s(timing)
    if need_s is None or timing.step_s is None or timing.save_s is None:
        return "how long a stop takes is not known before a run of this pipeline has saved"
    return (
        f"a step takes {timing.step_s:.2g} s and a save {timing.save_s:.2g} s, a stop about "
        f"{ceil(need_s)} s (a step, the save under way, its own)"
    )


def _how_to_lose_less(stage: Stage) -> str:
    if stage.train is None or stage.train.checkpoint.every == "auto":
        return "lower checkpoint.max_interval to bound that"
    return f"set checkpoint.every, now {stage.train.checkpoint.every} steps, to auto or to fewer"
