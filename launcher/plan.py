"""What a pipeline is expected to take, before anything runs. Pure."""

from dataclasses import dataclass

from launcher.pipeline import Pipeline, Stage

HOUR_S = 3600


@dataclass(frozen=True)
class PlannedStage:
    """One stage of a plan.

    Attributes:
        stage: The stage.
        parents: All stages it waits for.
        job_parents: Those of them that are jobs; the rest are reused.
        wall_s: Expected wall-clock; None where the pipeline does not say.
        gpu_hours: Expected GPU time, None likewise.
        end_s: Expected end, counted from the start of the first stage; a stage that
            nothing is known of counts as nothing.
    """

    stage: Stage
    parents: tuple[str, ...]
    job_parents: tuple[str, ...]
    wall_s: float | None
    gpu_hours: float | None
    end_s: float


@dataclass(frozen=True)
class Plan:
    """The stages in order of execution, and what they take together.

    Attributes:
        stages: Parents before children.
        wall_s: Expected wall-clock along the longest chain of known stages.
        gpu_hours: Expected GPU time of the known stages.
        unknown: Jobs of which the pipeline gives no expectation.
    """

    stages: tuple[PlannedStage, ...]
    wall_s: float
    gpu_hours: float
    unknown: tuple[str, ...]


def make_plan(pipeline: Pipeline) -> Plan:
    """The plan of a checked pipeline, whose file order is an order of execution."""
    planned: dict[str, PlannedStage] = {}
    for stage in pipeline.stages:
        planned[stage.name] = _planned(stage, planned)
    stages = tuple(planned.values())
    return Plan(
        stages=stages,
        wall_s=max(each.end_s for each in stages),
        gpu_hours=sum(each.gpu_hours or 0.0 for each in stages),
        unknown=tuple(each.stage.name for each in stages if each.wall_s is None),
    )


def _planned(stage: Stage, before: dict[str, PlannedStage]) -> PlannedStage:
    wall_s = _wall_s(stage)
    gpus = stage.cluster.nodes * stage.cluster.gpus_per_node
    start_s = max((before[parent].end_s for parent in stage.needs), default=0.0)
    return PlannedStage(
        stage=stage,
        parents=stage.needs,
        job_parents=tuple(name for name in stage.needs if before[name].stage.kind != "reuse"),
        wall_s=wall_s,
        gpu_hours=None if wall_s is None else wall_s * gpus / HOUR_S,
        end_s=start_s + (wall_s or 0.0),
    )


def _wall_s(stage: Stage) -> float | None:
    """Expected wall-clock of one stage; None where the pipeline does not say."""
    if stage.kind == "reuse":
        return 0.0
    if stage.expect_epoch_s is not None and stage.train is not None:
        return stage.expect_epoch_s * stage.train.epochs
    return stage.expect_s
