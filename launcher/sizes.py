"""The same pipeline on other numbers of nodes. Pure, but for the loading that is passed in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from launcher.errors import UsageError
from launcher.outlook import Outlook, Wanted, look_ahead
from launcher.past import Past
from launcher.pipeline import Pipeline, Stage
from launcher.plan import Plan, make_plan
from launcher.queues import Queues


@dataclass(frozen=True)
class Size:
    """A pipeline on so many nodes.

    Attributes:
        nodes: `cluster.nodes`; stages with a number of their own keep it.
        plan: What it takes undisturbed; None: the pipeline cannot be so.
        outlook: What it takes with interruptions, where they were asked for.
        fault: Why it cannot be; otherwise empty.
    """

    nodes: int
    plan: Plan | None
    outlook: Outlook | None
    fault: str = ""


def compare_sizes(
    base: Pipeline,
    sizes: Sequence[int],
    load: Callable[[int], Pipeline],
    recall: Callable[[Pipeline], Mapping[str, Past]],
    wanted: Wanted,
) -> tuple[Size, ...]:
    """Plans each size; what the file expects is meant for the nodes of the file.

    Args:
        base: The pipeline as the file has it.
        sizes: Numbers of nodes.
        load: Gives the pipeline with a number of nodes, or raises UsageError.
        recall: What earlier runs say of a pipeline's stages.
        wanted: What comes between.
    """
    found = []
    for nodes in sizes:
        try:
            pipeline = load(nodes)
        except UsageError as error:
            found.append(Size(nodes, None, None, error.faults[0]))
            continue
        stages = tuple(_expected(stage, base.stage(stage.name)) for stage in pipeline.stages)
        pasts = recall(pipeline)
        plan = make_plan(replace(pipeline, stages=stages), pasts)
        outlook = None
        if wanted.foresees:  # the queue of another size was not asked for
            outlook = look_ahead(plan, wanted, pasts, Queues(), intervals=False)
        found.append(Size(nodes, plan, outlook))
    return tuple(found)


def _expected(stage: Stage, base: Stage) -> Stage:
    """The stage with what is expected of it on its nodes."""
    slower = slowdown(stage, base)
    if slower is None:
        return replace(stage, expect_s=None, expect_epoch_s=None)
    return replace(
        stage,
        expect_s=None if stage.expect_s is None else stage.expect_s * slower,
        expect_epoch_s=None if stage.expect_epoch_s is None else stage.expect_epoch_s * slower,
    )


def slowdown(stage: Stage, base: Stage) -> float | None:
    """How much longer a stage takes than on the nodes of `base`; None: nobody can tell.

    A rank's time is that of its forward passes: rounds of micro-batches, by their size. That they
    get slower with more nodes, for the network, is not in it.
    """
    world, base_world = stage.cluster.world_size, base.cluster.world_size
    if world == base_world:
        return 1.0
    if stage.train is not None and base.train is not None:
        now, then = stage.train.batching(world), base.train.batching(base_world)
        now_share = now.rounds(world) * now.micro_batch / now.global_batch
        return now_share / (then.rounds(base_world) * then.micro_batch / then.global_batch)
    return base_world / world if stage.evaluate is not None else None
