"""A plan as a table and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.markup import escape
from rich.table import Table

from launcher.pipeline import Pipeline, Stage
from launcher.plan import HOUR_S, Plan, PlannedStage, Share
from launcher.show.console import Screen
from launcher.show.palette import CAUTION, tinted

_FINDINGS_SHOWN = 8
ELASTIC = "expectations are for the most nodes; an attempt keeps the number that it started with"


def show_plan(screen: Screen, pipeline: Pipeline, plan: Plan) -> None:
    """Shows the table, the total and what decides it."""
    screen.result(plan_table(pipeline, plan), escape(total_line(plan)))
    screen.result(*(escape(line) for line in (basis_line(plan), critical_line(plan)) if line))
    if any(planned.shares for planned in plan.stages):
        screen.result("", shares_table(plan), escape(ELASTIC))


def show_findings(screen: Screen, findings: Sequence[str]) -> None:
    """Shows what would keep the pipeline from being submitted; nothing where nothing does."""
    if findings:
        count = len(findings)
        title = f"{count} finding{'s' * (count > 1)} to settle before submit:"
        screen.result("", tinted(title, CAUTION))
        screen.result(*(f"  {escape(line)}" for line in findings[:_FINDINGS_SHOWN]))
        if count > _FINDINGS_SHOWN:
            screen.result(f"  ... and {count - _FINDINGS_SHOWN} more; --json lists all")


def plan_table(pipeline: Pipeline, plan: Plan) -> Table:
    """One row a stage."""
    table = Table(title=escape(pipeline.name), title_justify="left", box=None, pad_edge=False)
    for column in ("stage", "what", "nodes x GPUs", "after"):
        table.add_column(column, overflow="fold")
    for column in ("epochs", "wall-clock", "GPU-hours"):
        table.add_column(column, justify="right", no_wrap=True)
    marked = marks(plan)
    for planned in plan.stages:
        name, *cells = plan_row(planned)
        mark = " *" if planned.stage.name in marked else ""
        table.add_row(*map(escape, (name + mark, *cells)))
    return table


def basis_line(plan: Plan) -> str:
    """What the times rest on; nothing where all stand in the file."""
    said: dict[str, list[str]] = {}
    for planned in plan.stages:
        if planned.basis is not None:
            said.setdefault(planned.basis, []).append(planned.stage.name)
    if set(said) <= {"expect"}:
        return ""
    return "by " + "; ".join(f"{basis}: {', '.join(names)}" for basis, names in said.items())


def marks(plan: Plan) -> tuple[str, ...]:
    """The stages of the critical path, where there are others whose time does not count."""
    critical = tuple(planned.stage.name for planned in plan.critical)
    timed = [planned for planned in plan.stages if planned.is_job and planned.wall_s]
    return critical if len(critical) < len(timed) else ()


def critical_line(plan: Plan) -> str:
    """The critical path by name; nothing where there is one stage only."""
    critical = plan.critical
    if len(critical) < 2:  # noqa: PLR2004 - a path has two ends
        return ""
    path = " -> ".join(planned.stage.name for planned in critical)
    return f"{'* ' if marks(plan) else ''}critical path: {path}, {_hours(critical[-1].end_s)}"


def plan_row(planned: PlannedStage) -> tuple[str, ...]:
    """The cells of a stage; a dash where there is nothing to say."""
    stage = planned.stage
    is_job = stage.kind != "reuse"
    return (
        stage.name,
        _what(stage),
        f"{stage.cluster.nodes} x {stage.cluster.gpus_per_node}" if is_job else "-",
        ", ".join(planned.parents) or "-",
        str(stage.train.epochs) if stage.train else "-",
        _hours(planned.wall_s) if is_job else "-",
        _amount(planned.gpu_hours) if is_job else "-",
    )


def shares_table(plan: Plan) -> Table:
    """One row for each number of nodes that a stage with a range of them may get."""
    table = Table(box=None, pad_edge=False)
    table.add_column("stage", overflow="fold")
    for column in ("nodes", "ranks", "rounds a step", "idle", "wall-clock", "GPU-hours"):
        table.add_column(column, justify="right", no_wrap=True)
    for planned in plan.stages:
        for share in planned.shares:
            table.add_row(escape(planned.stage.name), *share_row(share))
    return table


def share_row(share: Share) -> tuple[str, ...]:
    """The cells of so many nodes; a dash where there is nothing to say."""
    return (
        str(share.nodes),
        str(share.ranks),
        "-" if share.rounds is None else str(share.rounds),
        "-" if share.idle is None else f"{share.idle:.0%}",
        _hours(share.wall_s),
        _amount(share.gpu_hours),
    )


def total_line(plan: Plan) -> str:
    """The sum, and of which stages it knows nothing."""
    jobs = [planned for planned in plan.stages if planned.stage.kind != "reuse"]
    if jobs and len(plan.unknown) == len(jobs):
        return "no stage says how long it takes; add `expect: {epoch: 6h}` to see hours"
    without = f", without {', '.join(plan.unknown)} (no expect)" if plan.unknown else ""
    return f"in all {_hours(plan.wall_s)} and {_amount(plan.gpu_hours)} GPU-h{without}"


def plan_json(pipeline: Pipeline, plan: Plan, findings: Sequence[str]) -> dict[str, Any]:
    """The plan as JSON values; null where the pipeline does not say."""
    return {
        "pipeline": pipeline.name,
        "stages": [_stage_json(planned) for planned in plan.stages],
        "wall_s": plan.wall_s,
        "gpu_hours": plan.gpu_hours,
        "unknown": list(plan.unknown),
        "findings": list(findings),
    }


def _stage_json(planned: PlannedStage) -> dict[str, Any]:
    stage = planned.stage
    return {
        "stage": stage.name,
        "kind": stage.kind,
        "what": _what(stage),
        "parents": list(planned.parents),
        "nodes": stage.cluster.max_nodes,
        "min_nodes": stage.cluster.min_nodes,
        "gpus_per_node": stage.cluster.gpus_per_node,
        "ranks": stage.cluster.world_size if stage.kind != "reuse" else 0,
        "epochs": stage.train.epochs if stage.train else None,
        "wall_s": planned.wall_s,
        "gpu_hours": planned.gpu_hours,
        "shares": [asdict(share) for share in planned.shares],
    }


def _what(stage: Stage) -> str:
    if stage.train is not None:
        return stage.train.entry
    if stage.command is not None:
        return stage.command.title
    return "reused" if stage.kind == "reuse" else "evaluate"


def _hours(seconds: float | None) -> str:
    """`18 h`, `1.5 h`, or minutes below one hour."""
    if seconds is None:
        return "-"
    if seconds and seconds < HOUR_S:
        return f"{_amount(seconds / 60)} min"
    return f"{_amount(seconds / HOUR_S)} h"


def _amount(number: float | None) -> str:
    """At most two decimals, none without need."""
    return "-" if number is None else f"{number:.2f}".rstrip("0").rstrip(".")
