"""How long stages are expected to take: by earlier runs, else by what the pipeline file says."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from db.earlier import Earlier, earlier_stages
from db.ledger import Ledger
from db.schema import StageRun
from db.states import DONE_STATES
from jobs.contract.durations import parse_duration

_COUNTED = 5
"""So many of the newest earlier runs are counted."""
BY_EXPECT = "expect"


@dataclass(frozen=True)
class Expectation:
    """How long a stage takes in all.

    Attributes:
        wall_s: Time with an allocation.
        basis: What that rests on, in words that follow "by".
    """

    wall_s: float
    basis: str


def expectations_of(ledger: Ledger, stages: Sequence[StageRun]) -> dict[str, Expectation]:
    """What is expected of the stages of a run that are not done, by stage.

    Args:
        ledger: Holds the earlier runs.
        stages: The stage runs of one run.
    """
    open_ = [row for row in stages if row.state not in DONE_STATES]
    if not open_:
        return {}
    run = stages[0].run
    with ledger.read() as session:
        known = earlier_stages(session, run.name, without=run.id)
    return expected(open_, known, lambda: read_expect(run.pipeline_yaml))


def expected(
    stages: Iterable[StageRun],
    earlier: Sequence[Earlier],
    read: Callable[[], Mapping[str, float]],
) -> dict[str, Expectation]:
    """The same, from what is known. The file is read only for a stage that never ended before.

    Args:
        stages: Stage runs.
        earlier: The newest first.
        read: Gives the seconds that the pipeline file expects, by stage.
    """
    by_runs = {row.stage: found for row in stages if (found := _by_runs(row, earlier))}
    if all(row.stage in by_runs for row in stages):
        return by_runs
    by_file = {stage: Expectation(wall_s, BY_EXPECT) for stage, wall_s in read().items()}
    return by_file | by_runs


def _by_runs(row: StageRun, earlier: Sequence[Earlier]) -> Expectation | None:
    """The median of the newest earlier runs; of those of the same size where there are some."""
    mine = [each for each in earlier if each.stage == row.stage]
    gpus = row.nodes * max(1, row.gpus_per_node)
    alike = [each for each in mine if each.gpus == gpus] or mine
    counted = [each.wall_s for each in alike[:_COUNTED]]
    if not counted:
        return None
    return Expectation(
        median(counted), f"{len(counted)} earlier run{'s' if len(counted) > 1 else ''}"
    )


def read_expect(pipeline_yaml: str) -> dict[str, float]:
    """Seconds that the stages of a frozen pipeline file expect; nothing where it cannot be read.

    Not by `load_pipeline`: that checks the whole file, which takes longer than all of `status`.
    """
    import yaml  # noqa: PLC0415 - few looks need it

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        stages = yaml.load(pipeline_yaml, Loader=loader)["stages"]  # noqa: S506 - a safe one
        found = {name: _expect_s(stage) for name, stage in stages.items()}
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {name: wall_s for name, wall_s in found.items() if wall_s is not None}


def _expect_s(stage: Mapping[str, Any]) -> float | None:
    expect = stage.get("expect") or {}
    if "total" in expect:
        return parse_duration(expect["total"])
    if "epoch" in expect:
        return parse_duration(expect["epoch"]) * int(stage["train"]["epochs"])
    return None
