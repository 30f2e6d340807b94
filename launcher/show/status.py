"""The stages of a run as a table and as JSON, and what its evaluations found."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from db.schema import Run
from db.states import StageState
from launcher.show.console import Screen
from launcher.view import StageView, nodes_in_words

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
_OF_RANGES = "nodes"
"""A column that is shown where a stage may get fewer nodes than the most."""
_RIGHT = ("attempts", "step", "lost", "wall-clock", "queued", "GPU-h", "checkpoint", "ETA")
_SPARE = ("lost", "queued", "GPU-h", "attempts", "checkpoint")
"""Columns that a narrow terminal goes without, the first of them first."""
_WIDE = 1000


LATE_S = 900.0
"""A run that goes on should have been passed over within this time, or three usual distances."""


def passes_line(
    last_good_at: float | None, since: float, now: float, usual_s: float | None = None
) -> str:
    """How long ago the last good pass was, as rich's markup; red when it is late.

    Args:
        last_good_at: Its end, Unix seconds; None: there was none.
        since: When the run began.
        now: Unix seconds.
        usual_s: Usual time between two passes; None: not known.
    """
    late = now - max(since, last_good_at or since) > max(LATE_S, 3 * (usual_s or 0.0))
    if last_good_at is None:
        told = "no pass yet: launcher cron install lets cron do them"
    else:
        told = f"last good pass {duration(now - last_good_at)} ago"
        told += "; see launcher cron show" if late else ""
    return f"[red]{told}[/]" if late else told


def show_status(
    screen: Screen,
    run: Run,
    views: Sequence[StageView],
    *,
    at: float | None,
    passes: str = "",
) -> None:
    """Shows the table, and below it the causes, which run it is and how fresh this is.

    Args:
        screen: Where to.
        run: The run.
        views: Its stages.
        at: When the ledger was brought up to date, Unix seconds; None: it was not.
        passes: How long ago the last good pass was, as rich's markup.
    """
    when = time.strftime("%H:%M:%S", time.localtime(at)) if at is not None else "not refreshed"
    dirty = " with changes" if run.code_dirty else ""
    screen.result(
        _fitting_table(screen.out, views),
        *(escape(f"{view.stage}: {view.cause}") for view in views if view.cause),
        "",
        escape(f"run {run.id} ({run.name}), {run.state}; {when}; code {run.code_sha[:12]}{dirty}"),
        *([passes] if passes else []),
    )


def _fitting_table(console: Console, views: Sequence[StageView]) -> Table:
    """The table with as many columns as can be shown whole."""
    for count in range(len(_SPARE) + 1):
        table = status_table(views, without=_SPARE[:count])
        needed = console.measure(table, options=console.options.update_width(_WIDE)).maximum
        if needed <= console.width:
            break
    return table


def status_table(views: Sequence[StageView], *, without: Sequence[str] = ()) -> Table:
    """One row a stage.

    Args:
        views: The stages.
        without: Columns to leave out.
    """
    table = Table(box=None, pad_edge=False)
    has_ranges = any(view.min_nodes < view.max_nodes for view in views)
    columns = (*_LEFT, *([_OF_RANGES] if has_ranges else []), *_RIGHT)
    shown = [name for name in columns if name not in without]
    for name in shown:
        table.add_column(name, justify="left" if name in _LEFT else "right", no_wrap=True)
    for view in views:
        cells = _cells(view)
        table.add_row(*(cells[name] for name in shown))
    return table


def _cells(view: StageView) -> dict[str, str]:
    """The cells of a stage by column, as rich's markup."""
    colour = _COLOURS.get(view.state)
    state = f"[{colour}]{view.state}[/]" if colour else str(view.state)
    has_job = view.state is not StageState.REUSED
    return {
        "stage": escape(view.stage),
        "state": state,
        "Slurm id": escape(view.slurm_id or "-"),
        _OF_RANGES: nodes_in_words(view.nodes, view.min_nodes, view.max_nodes) if has_job else "-",
        "attempts": str(view.attempts) if has_job else "-",
        "step": steps(view),
        "lost": str(view.steps_lost) if view.attempts else "-",
        "wall-clock": duration(view.wall_clock_s) if view.attempts else "-",
        "queued": duration(view.queued_s) if view.slurm_id else "-",
        "GPU-h": f"{view.gpu_hours:.2f}" if view.gpu_hours else "-",
        "checkpoint": _checkpoint(view),
        "ETA": duration(view.eta_s) if view.eta_s is not None else "-",
    }


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
            "nodes": view.nodes,
            "min_nodes": view.min_nodes,
            "max_nodes": view.max_nodes,
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
