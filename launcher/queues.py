"""When the stages of a pipeline would start if they were handed in now."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from jobs.contract.paths import RunFolder
from launcher.cluster.base import Cluster, JobRequest, NoAnswer
from launcher.cluster.notice import Notice
from launcher.intent import job_request
from launcher.pipeline import Pipeline


@dataclass(frozen=True)
class Queues:
    """What the clusters say before anything is handed in.

    Attributes:
        waits_s: Seconds that a stage would wait for its nodes, by stage.
        silent: What was said instead, by stage.
        notices: What notice a stage gets before it loses its nodes, by stage, where that is known.
    """

    waits_s: Mapping[str, float] = field(default_factory=dict)
    silent: Mapping[str, str] = field(default_factory=dict)
    notices: Mapping[str, Notice] = field(default_factory=dict)


def ask_queues(
    pipeline: Pipeline,
    open_cluster: Callable[[str], Cluster],
    clock: Callable[[], float],
    *,
    notices: bool,
) -> Queues:
    """Asks once for each kind of job; stages that ask for the same wait alike.

    Args:
        pipeline: The pipeline.
        open_cluster: Gives the cluster of a backend.
        clock: Gives Unix seconds.
        notices: Ask also what notice the partitions give.
    """
    clusters: dict[str, Cluster] = {}
    asked: dict[str, float | NoAnswer | None] = {}
    told: dict[tuple[str, str | None], Notice | NoAnswer] = {}
    waits: dict[str, float] = {}
    silent: dict[str, str] = {}
    found: dict[str, Notice] = {}
    for stage in pipeline.stages:
        if stage.kind == "reuse" or stage.cluster.backend == "local":
            continue
        settings = stage.cluster
        if settings.backend not in clusters:
            clusters[settings.backend] = open_cluster(settings.backend)
        cluster = clusters[settings.backend]
        key = repr((settings, stage.resumable))
        if key not in asked:
            asked[key] = cluster.would_start(_request(pipeline, stage.name))
        answer = asked[key]
        if isinstance(answer, NoAnswer):
            silent[stage.name] = answer.what
        elif answer is not None:
            waits[stage.name] = max(0.0, answer - clock())
        if notices:
            place = (settings.backend, settings.partition)
            if place not in told:
                told[place] = cluster.notice(settings.partition)
            notice = told[place]
            if isinstance(notice, Notice):
                found[stage.name] = notice
    return Queues(waits, silent, found)


def _request(pipeline: Pipeline, stage: str) -> JobRequest:
    """The job of a stage in a run that does not exist."""
    run = RunFolder(pipeline.runs / f"{pipeline.name}-RUN")
    return job_request(run, pipeline.stage(stage), token="TOKEN", fence=1)  # noqa: S106 - a submission's name
