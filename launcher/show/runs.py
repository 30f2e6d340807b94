"""Runs in one line each, as a table, as JSON and as CSV."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.markup import escape

from launcher.overview import RunLine
from launcher.show.palette import OF_RUN, OF_STAGE, tinted
from launcher.show.status import progress_cell, steps
from launcher.show.tables import fitting_table
from launcher.words import duration, moment, percent

_LEFT = ("run", "state", "at", "submitted", "by")
_COLUMNS = (
    *("run", "state", "done", "at", "progress", "step", "attempts", "lost", "wall-clock"),
    *("queued", "GPU-h", "goodput", "ETA", "submitted", "by"),
)
_SPARE = (
    *("by", "submitted", "queued", "lost", "goodput", "attempts", "wall-clock", "GPU-h"),
    *("step", "progress", "done", "at", "ETA"),
)
CSV_COLUMNS = (
    *("run", "name", "state", "submitted_by", "created_at", "stages", "done", "at", "at_state"),
    *("step", "total_steps", "attempts", "steps_lost", "lost_s", "wall_clock_s", "queued_s"),
    *("gpu_hours", "goodput", "eta_s"),
)


def runs_parts(console: Console, lines: Sequence[RunLine], *, known: int) -> list[RenderableType]:
    """The table, and below it how many runs it leaves out.

    Args:
        console: Where it is to be shown.
        lines: The runs.
        known: How many runs the ledger has.
    """
    rows = [_cells(line, bars=console.is_terminal) for line in lines]
    table, _ = fitting_table(console, _COLUMNS, rows, left=_LEFT, spare=_SPARE)
    if known <= len(lines):
        return [table]
    return [table, "", f"{len(lines)} of {known} runs; -n {known} shows all"]


def _cells(line: RunLine, *, bars: bool) -> dict[str, RenderableType]:
    run, at = line.run, line.at
    stage = f"{escape(at.stage)} {tinted(str(at.state), OF_STAGE.get(at.state))}" if at else "-"
    return {
        "run": escape(run.id),
        "state": tinted(str(run.state), OF_RUN.get(run.state)),
        "done": f"{line.done}/{line.stages}",
        "at": stage,
        "progress": progress_cell(at, bars=bars) if at else "-",
        "step": steps(at) if at else "-",
        "attempts": str(line.attempts),
        "lost": str(line.steps_lost),
        "wall-clock": duration(line.wall_clock_s),
        "queued": duration(line.queued_s),
        "GPU-h": f"{line.gpu_hours:.1f}" if line.gpu_hours else "-",
        "goodput": percent(line.work.goodput),
        "ETA": duration(line.eta_s) if line.eta_s is not None else "-",
        "submitted": moment(run.created_at)[:-3],
        "by": escape(run.submitted_by),
    }


def runs_json(lines: Sequence[RunLine]) -> list[dict[str, Any]]:
    """One object a run, as `--all --json` prints it."""
    return [
        {
            "run": line.run.id,
            "name": line.run.name,
            "state": str(line.run.state),
            "submitted_by": line.run.submitted_by,
            "created_at": line.run.created_at,
            "stages": line.stages,
            "done": line.done,
            "at": line.at.stage if line.at else None,
            "at_state": str(line.at.state) if line.at else None,
            "step": line.at.step if line.at else None,
            "total_steps": line.at.total_steps if line.at else None,
            "attempts": line.attempts,
            "steps_lost": line.steps_lost,
            "lost_s": round(line.work.lost_s, 3),
            "wall_clock_s": round(line.wall_clock_s, 3),
            "queued_s": round(line.queued_s, 3),
            "gpu_hours": round(line.gpu_hours, 6),
            "goodput": None if line.work.goodput is None else round(line.work.goodput, 4),
            "eta_s": line.eta_s,
        }
        for line in lines
    ]
