"""Attempts as a table, as JSON and as CSV."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from rich.console import RenderableType
from rich.markup import escape

from launcher.history import Past
from launcher.show.console import Screen
from launcher.show.palette import BAD, GOOD, MOVING, tinted
from launcher.show.tables import fitting_table
from launcher.words import duration, iso, moment

CSV_COLUMNS = tuple(each.name for each in fields(Past))
_LEFT = ("stage", "Slurm id", "state", "queued at", "started", "ended", "nodes", "decision")
_COLUMNS = (
    *("stage", "#", "Slurm id", "state", "queued at", "started", "ended", "queued", "wall-clock"),
    *("GPU-h", "steps", "gained", "lost", "nodes", "exit", "decision"),
)
_SPARE = (
    *("queued at", "ended", "nodes", "GPU-h", "queued", "exit", "gained", "Slurm id", "started"),
    *("steps", "decision"),
)
_COLOURS = {"done": GOOD, "running": MOVING, "failure": BAD}
_TIMES = ("queued_at", "started_at", "ended_at")


def show_history(screen: Screen, past: Sequence[Past]) -> None:
    """Shows a line an attempt, and below what failed ones said."""
    if not past:
        screen.say("no attempt yet: no job has been seen in Slurm; launcher status looks")
        return
    rows = [_cells(each) for each in past]
    screen.result(fitting_table(screen.out, _COLUMNS, rows, left=_LEFT, spare=_SPARE)[0])
    said = [each for each in past if each.message and each.state != "done"]
    screen.result(
        *([""] if said else []),
        *(escape(f"{each.stage} {each.attempt}: {each.message}") for each in said),
    )


def _cells(past: Past) -> dict[str, RenderableType]:
    state = past.state.split(":")[0]
    return {
        "stage": escape(past.stage),
        "#": str(past.attempt),
        "Slurm id": escape(f"{past.slurm_id}.{past.restart}"),
        "state": tinted(escape(state), _COLOURS.get(state)),
        "queued at": moment(past.queued_at),
        "started": moment(past.started_at),
        "ended": moment(past.ended_at),
        "queued": _or_dash(past.queued_s, duration),
        "wall-clock": _or_dash(past.wall_clock_s, duration),
        "GPU-h": f"{past.gpu_hours:.2f}" if past.gpu_hours else "-",
        "steps": "-" if past.first_step is None else f"{past.first_step}-{past.last_step}",
        "gained": _or_dash(past.steps_gained, str),
        "lost": _or_dash(past.steps_lost, str),
        "nodes": escape(past.nodes or "-"),
        "exit": _or_dash(past.exit_code, str),
        "decision": escape(past.decision or "-"),
    }


def _or_dash(value: Any, words: Any) -> str:  # noqa: ANN401 - a number and what writes it
    return "-" if value is None else str(words(value))


def history_json(past: Sequence[Past]) -> list[dict[str, Any]]:
    """One object an attempt; times are Unix seconds."""
    return [asdict(each) for each in past]


def history_rows(past: Sequence[Past]) -> list[dict[str, Any]]:
    """One flat row an attempt; times are UTC."""
    return [row | {name: iso(row[name]) for name in _TIMES} for row in history_json(past)]
