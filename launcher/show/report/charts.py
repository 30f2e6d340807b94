"""The charts of the report as Vega-Lite specifications. Pure.

Colours are CSS variables of `report.css`, so that light, dark and print need no other chart.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, islice
from typing import Any

from db.schema import Attempt
from launcher.accounting.parts import Part, Spent, percentages
from launcher.endings import How, cause_of, how_ended
from launcher.report.curves import Curve, Piece
from launcher.report.story import Story
from launcher.words import HOUR_S, MINUTE_S

Spec = dict[str, Any]

WIDE, NARROW = 860, 360
_ROW = 30
_DENSE = 80
"""Attempts from which on there is no room between them."""
_FROM_ZERO = ("lr", "clips_per_s", "step_s")
_LOG_FROM = 2
"""Powers of ten from which on a straight scale would show nothing."""
_QUEUED = "in the queue"
_HOW = {How.DONE: "done", How.INTERRUPTED: "interrupted", How.FAILED: "failed",
        How.CANCELLED: "cancelled", How.RUNNING: "running"}  # fmt: skip
_TIMES = {"seconds": "%H:%M:%S", "minutes": "%H:%M", "hours": "%H:%M", "day": "%d %b",
          "date": "%d %b", "week": "%d %b", "month": "%b",
          "quarter": "%b", "year": "%Y"}  # fmt: skip
_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
_TITLES = {
    Part.PRODUCTIVE: "steps that count",
    Part.START_UP: "start-up",
    Part.CHECKPOINT: "checkpoint",
    Part.LOST: "lost",
    Part.IDLE: "idle",
}
_LABELS = {"labelColor": "var(--ink)", "titleColor": "var(--ink)", "labelFontSize": 11,
           "titleFontSize": 11, "titleFontWeight": "normal"}  # fmt: skip
CONFIG: Spec = {
    "background": "transparent",
    "font": "sans-serif",
    "view": {"stroke": "transparent"},
    "axis": {**_LABELS, "gridColor": "var(--line)", "domainColor": "var(--faint)",
             "tickColor": "var(--faint)"},
    "legend": {**_LABELS, "orient": "top", "title": None, "symbolStrokeWidth": 0, "offset": 6},
    "text": {"color": "var(--ink)", "fontSize": 11},
}  # fmt: skip


def gantt(story: Story) -> Spec:
    """When each stage waited, ran and was interrupted."""
    attempts = [(row.stage, each) for row in story.stages for each in row.attempts]
    bars = [bar for stage, each in attempts for bar in _bars(stage, each, story.now)]
    ends = [
        {"stage": stage, "at": _local(each.ended_at), "cause": cause}
        for stage, each in attempts
        if each.ended_at is not None and (cause := cause_of(each))
    ]
    order = [row.stage for row in story.stages if row.attempts]
    kinds = [_QUEUED, *(how.value for how in _HOW)]
    present = [kind for kind in kinds if any(bar["kind"] == kind for bar in bars)]
    # A long name would push the bars out of the picture.
    y = {"field": "stage", "type": "nominal", "sort": order, "title": None,
         "axis": {"labelLimit": 150, "grid": False}}  # fmt: skip
    x = {
        "field": "from",
        "type": "temporal",
        "title": None,
        "axis": {"labelOverlap": True, "format": _TIMES},
    }
    is_dense = len(attempts) > _DENSE
    bar_layer = {
        "data": {"values": bars},
        "mark": {"type": "bar", "height": {"band": 0.62}, "stroke": "var(--paper)",
                 "strokeWidth": 0 if is_dense else 0.5, "aria": False},
        "encoding": {
            "y": y, "x": x, "x2": {"field": "to"},
            "color": _colours("kind", {kind: _colour_of(kind) for kind in present}),
        },
    }  # fmt: skip
    names = sorted({end["cause"] for end in ends})
    mark_layer = {
        "data": {"values": ends},
        "mark": {"type": "point", "filled": True, "size": 8 if is_dense else 34,
                 "color": "var(--ink)", "opacity": 1, "aria": False, "yOffset": -_ROW * 0.42},
        "encoding": {
            "y": y,
            "x": {"field": "at", "type": "temporal"},
            "shape": {"field": "cause", "type": "nominal",
                      "scale": {"domain": names, "range": [*islice(cycle(_SHAPES), len(names))]},
                      "legend": {"symbolFillColor": "var(--ink)"}},
        },
    }  # fmt: skip
    return {
        "width": WIDE,
        "height": {"step": _ROW},
        "layer": [bar_layer, *([mark_layer] if ends else [])],
        "resolve": {"legend": {"color": "independent", "shape": "independent"}},
    }


def _bars(stage: str, attempt: Attempt, now: float) -> Iterator[Mapping[str, str]]:
    """The time in the queue, and that with the nodes."""
    queued, started = attempt.queued_at, attempt.started_at
    ended = now if attempt.ended_at is None else attempt.ended_at
    if queued is not None and (started or ended) > queued:
        yield {
            "stage": stage,
            "from": _local(queued),
            "to": _local(started or ended),
            "kind": _QUEUED,
        }
    if started is not None:
        kind = how_ended(attempt).value
        yield {"stage": stage, "from": _local(started), "to": _local(ended), "kind": kind}


def _local(at: float) -> str:
    """Without a time zone, so that it is shown as it stands, like in the tables."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(at))


def _colour_of(kind: str) -> str:
    return "var(--queued)" if kind == _QUEUED else f"var(--{_HOW[How(kind)]})"


def _colours(field: str, colours: Mapping[str, str]) -> Spec:
    scale = {"domain": [*colours], "range": [*colours.values()]}
    return {"field": field, "type": "nominal", "scale": scale}


def waterfall(spent: Spent, of: str) -> Spec:
    """How the allocated time comes down to the steps that count.

    Args:
        spent: GPU-seconds, or seconds.
        of: Before the unit of the axis, `GPU-` or nothing.
    """
    share = percentages(spent.waterfall)
    unit_s, unit = (HOUR_S, "hours") if spent.allocated >= 2 * HOUR_S else (MINUTE_S, "minutes")
    rows: list[dict[str, Any]] = [
        {"part": "allocated", "from": 0.0, "to": spent.allocated / unit_s, "colour": "allocated",
         "label": "100 %"}
    ]  # fmt: skip
    left = spent.allocated
    for part in (Part.IDLE, Part.LOST, Part.CHECKPOINT, Part.START_UP, Part.PRODUCTIVE):
        below = 0.0 if part is Part.PRODUCTIVE else left - spent.waterfall[part]
        rows.append({"part": _TITLES[part], "from": below / unit_s, "to": left / unit_s,
                     "colour": str(part), "label": f"{share[part]:.1f} %"})  # fmt: skip
        left = below
    colours = {row["colour"]: f"var(--{row['colour']})" for row in rows}
    y = {"field": "part", "type": "nominal", "sort": [row["part"] for row in rows], "title": None,
         "axis": {"grid": False}}  # fmt: skip
    return {
        "width": WIDE - 120,
        "height": {"step": 26},
        "data": {"values": rows},
        "layer": [
            {
                "mark": {"type": "bar", "height": {"band": 0.7}, "aria": False},
                "encoding": {
                    "y": y,
                    "x": {"field": "from", "type": "quantitative", "title": f"{of}{unit}"},
                    "x2": {"field": "to"},
                    "color": _colours("colour", colours) | {"legend": None},
                },
            },
            {
                "mark": {"type": "text", "align": "left", "dx": 5, "aria": False},
                "encoding": {"y": y, "x": {"field": "to", "type": "quantitative"},
                             "text": {"field": "label"}},
            },
        ],
    }  # fmt: skip


def curve_chart(curve: Curve) -> Spec:
    """One curve of a stage; steps that were lost are dashed, in the colour of what is lost."""
    values = [value for piece in curve.pieces for _, value in piece.points]
    is_log = curve.name == "grad_norm" and _decades(values) > _LOG_FROM
    y = {"field": "value", "type": "quantitative", "title": None,
         "scale": {"type": "log"} if is_log else {"zero": curve.name in _FROM_ZERO},
         "axis": {"tickCount": 4, **({"format": "~e"} if curve.name == "lr" else {})}}  # fmt: skip
    x = {"field": "step", "type": "quantitative", "title": "step", "scale": {"zero": False},
         "axis": {"tickCount": 6, "format": "~s", "grid": False}}  # fmt: skip
    # A line for each piece would take ten times the room: gaps in one line do as well.
    along = {"x": x, "y": y, "order": {"field": "i", "type": "quantitative"}}
    alone = [piece for piece in curve.pieces if len(piece.points) == 1]
    return {
        "width": NARROW,
        "height": 130,
        "layer": [
            _line([piece for piece in curve.pieces if piece.is_kept], along,
                  {"color": "var(--curve)", "strokeWidth": 1.4}),
            _line([piece for piece in curve.pieces if not piece.is_kept], along,
                  {"color": "var(--lost)", "strokeWidth": 1.6, "strokeDash": [4, 2]}),
            {
                "data": {"values": _values(alone)},
                "mark": {"type": "point", "filled": True, "size": 14, "aria": False,
                         "color": "var(--curve)"},
                "encoding": {"x": x, "y": y},
            },
        ],
    }  # fmt: skip


def _line(pieces: Sequence[Piece], encoding: Spec, look: Spec) -> Spec:
    return {
        "data": {"values": _values(pieces)},
        "mark": {"type": "line", "aria": False, "invalid": "break-paths-show-path-domains", **look},
        "encoding": encoding,
    }


def _values(pieces: Sequence[Piece]) -> list[Spec]:
    """The points of pieces in order, with a gap after each piece."""
    points: list[tuple[int, float | None]] = []
    for piece in pieces:
        points += [*piece.points, (piece.points[-1][0], None)]
    return [{"i": i, "step": step, "value": value} for i, (step, value) in enumerate(points)]


def _decades(values: Sequence[float]) -> float:
    """How many powers of ten they span; none where some are not positive."""
    return math.log10(max(values) / min(values)) if min(values) > 0 else 0.0
