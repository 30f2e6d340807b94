"""The stages of runs, and runs, as JSON and as CSV."""

from collections.abc import Sequence
from typing import Any

from launcher.view import StageView

CSV_COLUMNS = (
    *("run", "stage", "state", "slurm_id", "attempts", "nodes", "step", "total_steps", "epoch"),
    *("loss", "step_s", "steps_lost", "lost_s", "wall_clock_s", "queued_s", "gpu_hours"),
    *("goodput", "checkpoint_step", "checkpoint_path", "work_left_s", "eta_s", "eta_basis"),
    "cause",
)


def status_json(views: Sequence[StageView]) -> list[dict[str, Any]]:
    """One object a stage, as `--json` prints it."""
    return [_object(view) for view in views]


def _object(view: StageView) -> dict[str, Any]:
    return {
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
        "eta_basis": view.eta_basis,
        "work_left_s": view.work_left_s,
        "epoch": view.epoch,
        "loss": view.loss,
        "step_s": view.step_s,
        "useful_s": round(view.work.useful_s, 3),
        "lost_s": round(view.work.lost_s, 3),
        "goodput": _rounded(view.work.goodput),
    }


def status_rows(views: Sequence[StageView]) -> list[dict[str, Any]]:
    """One flat row a stage, as `--csv` prints it."""
    return [
        data
        | {
            "checkpoint_step": view.checkpoint.step if view.checkpoint else None,
            "checkpoint_path": view.checkpoint.path if view.checkpoint else None,
        }
        for view, data in zip(views, status_json(views), strict=True)
    ]


def _rounded(part: float | None) -> float | None:
    return None if part is None else round(part, 4)
