"""What a pipeline is expected to take, before anything runs. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from launcher.past import NOTHING, Past
from launcher.pipeline import Pipeline, Stage
from launcher.saving import interval_of

HOUR_S = 3600


@dataclass(frozen=True)
class Share:
    """What a stage takes on so many nodes.

    Attributes:
        nodes: Nodes of the job.
        ranks: Ranks on them.
        rounds: Forward passes of each rank in a step; None: it does not train.
        idle: Part of their time that the ranks go along without a micro-batch; None likewise.
        wall_s: Expected wall-clock; None where the pipeline does not say, or another program
            makes of the nodes what it can.
        gpu_hours: Expected GPU time, None likewise.
    """

    nodes: int
    ranks: int
    rounds: int | None
    idle: float | None
    wall_s: float | None
    gpu_hours: float | None


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
        shares: What it takes on each number of nodes that it may get, the most first; empty:
            there is one number only.
        past: What earlier runs say, where the expectation is theirs; None: the pipeline says.
    """

    stage: Stage
    parents: tuple[str, ...]
    job_parents: tuple[str, ...]
    wall_s: float | None
    gpu_hours: float | None
    end_s: float
    shares: tuple[Share, ...] = ()
    past: Past | None = None

    @property
    def is_job(self) -> bool:
        """Whether it is run at all."""
        return self.stage.kind != "reuse"

    @property
    def basis(self) -> str | None:
        """What its expectation rests on: `expect`, or how many runs; None: there is none."""
        if self.wall_s is None or not self.is_job:
            return None
        if self.past is None:
            return "expect"
        return f"ledger, {self.past.runs} run{'s' * (self.past.runs > 1)}"


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

    @property
    def critical(self) -> tuple[PlannedStage, ...]:
        """The chain of jobs that decides when all is done, as far as is known."""
        by_name = {each.stage.name: each for each in self.stages}
        last = max(self.stages, key=lambda each: each.end_s)
        found = [last]
        while found[-1].parents:
            found.append(max((by_name[name] for name in found[-1].parents), key=_end_s))
        return tuple(each for each in reversed(found) if each.is_job and each.wall_s)


def _end_s(planned: PlannedStage) -> float:
    return planned.end_s


def make_plan(pipeline: Pipeline, pasts: Mapping[str, Past] = MappingProxyType({})) -> Plan:
    """The plan of a checked pipeline, whose file order is an order of execution.

    Args:
        pipeline: The pipeline.
        pasts: What earlier runs say of its stages; it goes before what the pipeline expects.
    """
    planned: dict[str, PlannedStage] = {}
    for stage in pipeline.stages:
        planned[stage.name] = _planned(stage, planned, pasts.get(stage.name, NOTHING))
    stages = tuple(planned.values())
    return Plan(
        stages=stages,
        wall_s=max(each.end_s for each in stages),
        gpu_hours=sum(each.gpu_hours or 0.0 for each in stages),
        unknown=tuple(each.stage.name for each in stages if each.wall_s is None),
    )


def _planned(stage: Stage, before: Mapping[str, PlannedStage], past: Past) -> PlannedStage:
    remembered_s = _remembered_s(stage, past)
    wall_s = _wall_s(stage) if remembered_s is None else remembered_s
    start_s = max((before[parent].end_s for parent in stage.needs), default=0.0)
    return PlannedStage(
        stage=stage,
        parents=stage.needs,
        job_parents=tuple(name for name in stage.needs if before[name].stage.kind != "reuse"),
        wall_s=wall_s,
        gpu_hours=_gpu_hours(stage, stage.cluster.max_nodes, wall_s),
        end_s=start_s + (wall_s or 0.0),
        shares=_shares(stage, wall_s) if stage.cluster.is_elastic else (),
        past=None if remembered_s is None else past,
    )


def _remembered_s(stage: Stage, past: Past) -> float | None:
    """Wall-clock by earlier runs, undisturbed: start, steps and saves."""
    if past.work_s is None or stage.kind == "reuse":
        return None
    save_s = past.save_s or 0.0
    interval_s, _ = interval_of(stage, save_s, past.step_s, 0.0)
    saves = max(1, round(past.work_s / interval_s))
    return (past.start_s or 0.0) + past.work_s + saves * save_s


def _gpu_hours(stage: Stage, nodes: int, wall_s: float | None) -> float | None:
    return None if wall_s is None else wall_s * nodes * stage.cluster.gpus_per_node / HOUR_S


def _wall_s(stage: Stage) -> float | None:
    """Expected wall-clock of one stage; None where the pipeline does not say."""
    if stage.kind == "reuse":
        return 0.0
    if stage.expect_epoch_s is not None and stage.train is not None:
        return stage.expect_epoch_s * stage.train.epochs
    return stage.expect_s


def _shares(stage: Stage, full_wall_s: float | None) -> tuple[Share, ...]:
    """What the stage takes on each number of nodes, if it takes `full_wall_s` on the most."""
    cluster = stage.cluster
    return tuple(
        _share(stage, nodes, full_wall_s)
        for nodes in range(cluster.max_nodes, cluster.min_nodes - 1, -1)
    )


def _share(stage: Stage, nodes: int, full_wall_s: float | None) -> Share:
    ranks, full_world = nodes * stage.cluster.tasks, stage.cluster.world_size
    rounds = idle = slower = None
    if stage.train is not None:
        batching = stage.train.batching(full_world)
        rounds = batching.rounds(ranks)
        idle = 1 - batching.micro_batches / (rounds * ranks)
        slower = rounds / batching.rounds(full_world)
    elif stage.evaluate is not None:
        slower = full_world / ranks
    wall_s = None if full_wall_s is None or slower is None else full_wall_s * slower
    return Share(nodes, ranks, rounds, idle, wall_s, _gpu_hours(stage, nodes, wall_s))
