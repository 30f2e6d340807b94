"""How long stages are expected to take: by earlier runs, else by what the pipeline file says."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import Any

from db.earlier import Earlier, earlier_stages
from db.ledger import Ledger
from db.schema import StageRun
from db.states import DONE_STATES
from jobs.contract.durations import parse_duration
from launcher.frozen import asked, frozen_stages

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
    return expected(open_, known, run.pipeline_yaml)


def expected(
    stages: Iterable[StageRun], earlier: Sequence[Earlier], pipeline_yaml: str
) -> dict[str, Expectation]:
    """The same, from what is known.

    Args:
        stages: Stage runs of one run.
        earlier: The newest first.
        pipeline_yaml: The frozen pipeline file of the run.
    """
    by_file = {name: Expectation(s, BY_EXPECT) for name, s in read_expect(pipeline_yaml).items()}
    found = ((row.stage, _by_runs(row, earlier, pipeline_yaml)) for row in stages)
    return by_file | {stage: expectation for stage, expectation in found if expectation}


def _by_runs(row: StageRun, earlier: Sequence[Earlier], text: str) -> Expectation | None:
    """The median of the newest earlier runs that asked the same of the stage, on as many GPUs.

    A smoke run of a few steps, or one on other GPUs, says nothing about this one.
    """
    gpus, wanted = row.nodes * max(1, row.gpus_per_node), asked(text, row.stage)
    alike = (
        each.wall_s
        for each in earlier
        if (each.stage, each.gpus) == (row.stage, gpus)
        and wanted is not None
        and asked(each.pipeline_yaml, row.stage) == wanted
    )
    counted = list(islice(alike, _COUNTED))
    if not counted:
        return None
    return Expectation(
        median(counted), f"{len(counted)} earlier run{'s' if len(counted) > 1 else ''}"
    )


def read_expect(pipeline_yaml: str) -> dict[str, float]:
    """Seconds that the stages of a frozen pipeline file expect; nothing where it cannot be read."""
    try:
        found = {name: _expect_s(stage) for name, stage in frozen_stages(pipeline_yaml).items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {name: wall_s for name, wall_s in found.items() if wall_s is not None}


def _expect_s(stage: Mapping[str, Any]) -> float | None:
    expect = stage.get("expect") or {}
    if "total" in expect:
        return parse_duration(expect["total"])
    if "epoch" in expect:
        return parse_duration(expect["epoch"]) * int(stage["train"]["epochs"])
    return None
