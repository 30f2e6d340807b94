"""Whether a job that is told to stop gets the time to save, before it is handed over.

A stop comes in the middle of a step, and of a save: the step is finished, the save too, then all is
saved once more and the job puts itself back into the queue.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import ceil

from db.engine import ledger_url
from db.errors import LedgerError
from db.ledger import Ledger
from db.timings import Timing, timing_of
from jobs.contract.units import format_duration
from launcher.cluster.base import Cluster, NoAnswer
from launcher.cluster.notice import Notice
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


@dataclass(frozen=True)
class Preflight:
    """Lines for people.

    Attributes:
        warnings: What will cost work.
        unknown: What cannot be told yet.
    """

    warnings: tuple[str, ...]
    unknown: tuple[str, ...]


def preflight(pipeline: Pipeline, open_cluster: Callable[[str], Cluster]) -> Preflight:
    """Asks the clusters and the ledger about the stages that train."""
    stages = [stage for stage in pipeline.stages if stage.train is not None]
    clusters = {backend: open_cluster(backend) for backend in {s.cluster.backend for s in stages}}
    asked: dict[tuple[str, str | None], Notice | NoAnswer] = {}
    for backend, partition in {(s.cluster.backend, s.cluster.partition) for s in stages}:
        asked[backend, partition] = clusters[backend].notice(partition)
    notices = {s.name: asked[s.cluster.backend, s.cluster.partition] for s in stages}
    return judge(stages, Notices(notices, _timings(pipeline, stages)))


def _timings(pipeline: Pipeline, stages: Iterable[Stage]) -> dict[str, Timing]:
    try:
        ledger = Ledger.open(ledger_url(pipeline.runs), create=False)
        with ledger.read() as session:
            return {stage.name: timing_of(session, pipeline.name, stage.name) for stage in stages}
    except LedgerError:  # there is none yet; of one that is broken `submit` tells by itself
        return {}


def judge(stages: Iterable[Stage], known: Notices) -> Preflight:
    """What to tell of each stage; nothing where all fits."""
    warnings: list[str] = []
    unknown: dict[str, list[str]] = {}
    for stage in stages:
        timing = known.timings.get(stage.name, Timing())
        told, open_question = _preemption(stage, known.notices[stage.name], timing)
        told += _time_limit(stage, timing)
        warnings += [f"stages.{stage.name}: {line}" for line in told]
        if open_question:
            unknown.setdefault(open_question, []).append(stage.name)
    lines = tuple(f"{', '.join(names)}: {question}" for question, names in unknown.items())
    return Preflight(tuple(warnings), lines)


def needed_s(timing: Timing) -> float | None:
    """Seconds from a stop signal to the end of the job, at worst; None: not known."""
    if timing.step_s is None or timing.save_s is None:
        return None
    return timing.step_s + 2 * timing.save_s + REQUEUE_S


def _preemption(stage: Stage, notice: Notice | NoAnswer, timing: Timing) -> tuple[list[str], str]:
    """Warnings, and what is not known, about losing the nodes to another job."""
    if isinstance(notice, NoAnswer):  # as on a machine where pipelines are only planned
        return [], ""
    if not notice.preempts:
        return [], ""
    if notice.grace_s is None:
        return [], (
            f"the notice in partition {notice.partition} is that of the job's QOS; "
            f"{_takes(timing)}; compare: {_QOS}"
        )
    return _in_grace(stage, notice.partition, notice.grace_s, timing)


def _in_grace(
    stage: Stage, partition: str, grace_s: float, timing: Timing
) -> tuple[list[str], str]:
    """The same for a partition whose grace is known."""
    need_s = needed_s(timing)
    if grace_s == 0:
        line = (
            f"partition {partition} gives no grace (GraceTime=0): a preemption can cost up to one "
            f"checkpoint interval; {_how_to_lose_less(stage)}"
        )
        return [line], ""
    if need_s is None:
        return [], (
            f"partition {partition} gives {grace_s:g} s; whether a save fits is not known before a "
            "run of this pipeline has saved"
        )
    if need_s <= grace_s:
        return [], ""
    line = (
        f"partition {partition} gives {grace_s:g} s; {_takes(timing)}: a preemption can cost up to "
        f"one checkpoint interval; ask for GraceTime={ceil(need_s)}, or {_how_to_lose_less(stage)}"
    )
    return [line], ""


def _time_limit(stage: Stage, timing: Timing) -> list[str]:
    need_s, lead_s = needed_s(timing), stage.cluster.signal_lead_s
    if need_s is None or need_s <= lead_s:
        return []
    return [
        f"it is told to save {format_duration(lead_s)} before its time limit; {_takes(timing)}: "
        f"set cluster.signal_lead to {format_duration(ceil(need_s))}"
    ]


def _takes(timing: Timing) -> str:
    need_s = needed_s(timing)
    if need_s is None or timing.step_s is None or timing.save_s is None:
        return "how long a stop takes is not known before a run of this pipeline has saved"
    return (
        f"a step takes {timing.step_s:.2g} s and a save {timing.save_s:.2g} s, a stop "
        f"{ceil(need_s)} s at worst (a step, the save under way, its own)"
    )


def _how_to_lose_less(stage: Stage) -> str:
    if stage.train is None or stage.train.checkpoint.every == "auto":
        return "lower checkpoint.max_interval to bound that"
    return f"set checkpoint.every, now {stage.train.checkpoint.every} steps, to auto or to fewer"
