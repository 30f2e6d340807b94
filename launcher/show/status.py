"""The stages of a run as a table, and what its evaluations found."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from db.schema import Run
from db.states import DONE_STATES, StageState
from launcher.forecast import RunForecast
from launcher.goodput import in_all
from launcher.show.console import Screen
from launcher.show.palette import BAD, FAINT, GOOD, MOVING, OF_STAGE, tinted
from launcher.show.tables import fitting_table
from launcher.view import StageView, nodes_in_words
from launcher.words import clock, duration, percent, size, step_time

_LEFT = ("stage", "state", "Slurm id", "basis")
_OF_RANGES = "nodes"
"""A column that is shown where a stage may get fewer nodes than the most."""
_BAR = "progress"
_RIGHT = (
    *("attempts", _BAR, "step", "epoch", "loss", "step time", "lost", "wall-clock", "queued"),
    *("GPU-h", "goodput", "checkpoint", "ETA", "basis"),
)
_SPARE = (
    *("epoch", "basis", "queued", "goodput", "GPU-h", "checkpoint", "lost", "attempts"),
    *("wall-clock", "step time", "Slurm id", "loss", _BAR, _OF_RANGES, "step", "ETA"),
)
"""Columns that a narrow terminal goes without, the first of them first."""
_BAR_WIDTH = 12
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
    return tinted(told, BAD if late else None)


def show_status(
    screen: Screen,
    run: Run,
    views: Sequence[StageView],
    *,
    at: float | None,
    passes: str = "",
    foreseen: RunForecast | None = None,
) -> None:
    """Shows the table, and below it the causes, which run it is and how fresh this is.

    Args:
        screen: Where to.
        run: The run.
        views: Its stages.
        at: When the ledger was brought up to date, Unix seconds; None: it was not.
        passes: How long ago the last good pass was, as rich's markup.
        foreseen: When the run will be done.
    """
    screen.result(*status_parts(screen.out, run, views, at=at, passes=passes, foreseen=foreseen))


def status_parts(
    console: Console,
    run: Run,
    views: Sequence[StageView],
    *,
    at: float | None,
    passes: str = "",
    foreseen: RunForecast | None = None,
) -> list[RenderableType]:
    """The same as parts, for who shows them again and again."""
    when = time.strftime("%H:%M:%S", time.localtime(at)) if at is not None else "not refreshed"
    dirty = " with changes" if run.code_dirty else ""
    rows = [_cells(view, bars=console.is_terminal) for view in views]
    table, shown = fitting_table(console, _columns(views), rows, left=_LEFT, spare=_SPARE)
    summary = _foreseen_line(foreseen, views, now=time.time(), bases="basis" not in shown)
    return [
        table,
        *(escape(f"{view.stage}: {view.cause}") for view in views if view.cause),
        "",
        *([escape(summary)] if summary else []),
        escape(f"run {run.id} ({run.name}), {run.state}; {when}; code {run.code_sha[:12]}{dirty}"),
        *([passes] if passes else []),
    ]


def _columns(views: Sequence[StageView]) -> tuple[str, ...]:
    has_ranges = any(view.min_nodes < view.max_nodes for view in views)
    return (*_LEFT[:3], *([_OF_RANGES] if has_ranges else []), *_RIGHT)


def status_table(views: Sequence[StageView]) -> Table:
    """One row a stage, with every column, however wide that is."""
    rows = [_cells(view, bars=False) for view in views]
    return fitting_table(Console(width=80), _columns(views), rows, left=_LEFT)[0]


def _foreseen_line(
    foreseen: RunForecast | None, views: Sequence[StageView], *, now: float, bases: bool
) -> str:
    """When the run will be done and by what; what became of its time so far; maybe nothing."""
    told = []
    if foreseen is not None:
        if foreseen.stopped:
            told.append(f"goes on after launcher resume {' '.join(foreseen.stopped)}")
        elif foreseen.eta_s is not None:
            told.append(_eta_words(foreseen, views, now=now, bases=bases))
    goodput = in_all(view.work for view in views).goodput
    if goodput is not None:
        told.append(f"goodput {percent(goodput)}")
    return "; ".join(told)


def _eta_words(
    foreseen: RunForecast, views: Sequence[StageView], *, now: float, bases: bool
) -> str:
    eta_s = foreseen.eta_s or 0.0
    told = f"done in {duration(eta_s)} ({clock(now + eta_s, now=now)})"
    if any(view.state not in (StageState.RUNNING, *DONE_STATES) for view in views):
        told += ", waits in the queue aside"
    if bases:
        known = [f"{view.stage} by {view.eta_basis}" for view in views if view.eta_basis]
        told += f", {', '.join(known)}"
    if foreseen.without:
        told += f"; without {', '.join(foreseen.without)}, of which nothing is known"
    return told


def _cells(view: StageView, *, bars: bool) -> dict[str, RenderableType]:
    """The cells of a stage by column, as rich's markup."""
    has_job = view.state is not StageState.REUSED
    has_run = view.attempts > 0
    return {
        "stage": escape(view.stage),
        "state": tinted(str(view.state), OF_STAGE.get(view.state)),
        "Slurm id": escape(view.slurm_id or "-"),
        _OF_RANGES: nodes_in_words(view.nodes, view.min_nodes, view.max_nodes) if has_job else "-",
        "attempts": str(view.attempts) if has_job else "-",
        _BAR: progress_cell(view, bars=bars),
        "step": steps(view),
        "epoch": "-" if view.epoch is None else str(view.epoch + 1),
        "loss": "-" if view.loss is None else f"{view.loss:.4g}",
        "step time": step_time(view.step_s) if view.step_s else "-",
        "lost": str(view.steps_lost) if has_run else "-",
        "wall-clock": duration(view.wall_clock_s) if has_run else "-",
        "queued": duration(view.queued_s) if view.slurm_id else "-",
        "GPU-h": f"{view.gpu_hours:.2f}" if view.gpu_hours else "-",
        "goodput": percent(view.work.goodput),
        "checkpoint": _checkpoint(view),
        "ETA": duration(view.eta_s) if view.eta_s is not None else "-",
        "basis": escape(view.eta_basis or "-"),
    }


def progress_cell(view: StageView, *, bars: bool) -> RenderableType:
    """A bar with the share of its steps that a stage has done; without the bar in a pipe."""
    total, done = view.total_steps, view.step or 0
    if view.state in DONE_STATES:
        total = done = 1
    if not total:
        return "-"
    part = min(1.0, done / total)
    percent = f"{int(100 * part)}%"
    if not bars:
        return percent
    bar = ProgressBar(
        total=1.0,
        completed=part,
        width=_BAR_WIDTH,
        style=FAINT,
        complete_style=OF_STAGE.get(view.state, MOVING),
        finished_style=GOOD,
    )
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=_BAR_WIDTH)
    grid.add_column(width=4, justify="right")
    grid.add_row(bar, percent)
    return grid


def steps(view: StageView) -> str:
    """`1200/6000`; a dash before the first step."""
    if view.step is None:
        return "-"
    return f"{view.step}/{view.total_steps}" if view.total_steps is not None else str(view.step)


def _checkpoint(view: StageView) -> str:
    if view.checkpoint is None:
        return "-"
    return f"{view.checkpoint.step} ({size(view.checkpoint.bytes)})"


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
