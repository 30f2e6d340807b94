"""The stages of a run as a table and as JSON, and what its evaluations found."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from db.schema import Run
from db.states import StageState
from launcher.show.console import Screen
from launcher.view import StageView

_COLOURS = {
    StageState.RUNNING: "cyan",
    StageState.DONE: "green",
    StageState.REUSED: "green",
    StageState.INTERRUPTED: "yellow",
    StageState.HELD: "yellow",
    StageState.FAILED: "red",
    StageState.CANCELLED: "red",
}
_LEFT = ("stage", "state", "Slurm id")
_RIGHT = ("attempts", "step", "lost", "wall-clock", "queued", "GPU-h", "checkpoint", "ETA")


def show_status(screen: Screen, run: Run, views: Sequence[StageView], *, at: float | None) -> None:
    """Shows the table, and below it which run it is and how fresh it is.

    Args:
        screen: Where to.
        run: The run.
        views: Its stages.
        at: When the ledger was brought up to date, Unix seconds; None: it was not.
    """
    when = time.strftime("%H:%M:%S", time.localtime(at)) if at is not None else "not refreshed"
    dirty = " with changes" if run.code_dirty else ""
    screen.result(
        status_table(views),
        "",
        escape(f"run {run.id} ({run.name}), {run.state}; {when}; code {run.code_sha[:12]}{dirty}"),
    )


def status_table(views: Sequence[StageView]) -> Table:
    """One row a stage."""
    table = Table(box=None, pad_edge=False)
    for name in _LEFT:
        table.add_column(name, no_wrap=True)
    for name in _RIGHT:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("cause", overflow="fold")
    for view in views:
        table.add_row(*_row(view))
    return table


def _row(view: StageView) -> list[str]:
    colour = _COLOURS.get(view.state)
    state = f"[{colour}]{view.state}[/]" if colour else str(view.state)
    has_job = view.state is not StageState.REUSED
    cells = [
        view.slurm_id or "-",
        str(view.attempts) if has_job else "-",
        steps(view),
        str(view.steps_lost) if view.attempts else "-",
        duration(view.wall_clock_s) if view.attempts else "-",
        duration(view.queued_s) if view.slurm_id else "-",
        f"{view.gpu_hours:.2f}" if view.gpu_hours else "-",
        _checkpoint(view),
        duration(view.eta_s) if view.eta_s is not None else "-",
        view.cause or "",
    ]
    return [escape(view.stage), state, *map(escape, cells)]


def steps(view: StageView) -> str:
    """`1200/6000`; a dash before the first step."""
    if view.step is None:
        return "-"
    return f"{view.step}/{view.total_steps}" if view.total_steps is not None else str(view.step)


def duration(seconds: float) -> str:
    """`12 s`, `3:05` or `1:02:03`, the last two with minutes and seconds."""
    whole = round(seconds)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minute:02}:{second:02}"
    return f"{minutes}:{second:02}" if minutes else f"{whole} s"


def _checkpoint(view: StageView) -> str:
    if view.checkpoint is None:
        return "-"
    return f"{view.checkpoint.step} ({decimal(view.checkpoint.bytes)})"


def status_json(views: Sequence[StageView]) -> list[dict[str, Any]]:
    """One object a stage, as `--json` prints it."""
    return [
        {
            "run": view.run,
            "stage": view.stage,
            "state": str(view.state),
            "slurm_id": view.slurm_id,
            "attempts": view.attempts,
            "step": view.step,
            "total_steps": view.total_steps,
            "steps_lost": view.steps_lost,
            "wall_clock_s": round(view.wall_clock_s, 3),
            "queued_s": round(view.queued_s, 3),
            "gpu_hours": round(view.gpu_hours, 6),
            "checkpoint": vars(view.checkpoint) if view.checkpoint else None,
            "cause": view.cause,
            "eta_s": view.eta_s,
        }
        for view in views
    ]


def metrics_table(metrics: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    """What evaluation stages measured.

    Args:
        metrics: The fields of the metric events by stage.
    """
    table = Table(box=None, pad_edge=False)
    table.add_column("stage")
    table.add_column("metric")
    for name in ("value", "correct", "majority"):
        table.add_column(name, justify="right")
    for stage, found in metrics.items():
        for metric in found:
            table.add_row(
                escape(stage), escape(str(metric.get("name"))), *map(escape, _measured(metric))
            )
    return table


def _measured(metric: Mapping[str, Any]) -> tuple[str, str, str]:
    correct, total = metric.get("correct"), metric.get("total")
    return (
        _share(metric.get("value")),
        "-" if correct is None else f"{correct}/{total}",
        _share(metric.get("majority")),
    )


def _share(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else "-"
