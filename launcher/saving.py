"""How often a stage saves, as far as that can be told before it runs. Pure."""

import math

from jobs.contract.checkpointing import Checkpointing
from jobs.contract.hazard import USUAL_S
from launcher.foresee.interval import formula_s
from launcher.pipeline import Stage


def saves_at_all(stage: Stage) -> bool:
    """Whether an interrupted attempt can be gone on from."""
    watched = stage.command is None or stage.command.checkpoints.watch
    return stage.resumable and watched


def interval_of(
    stage: Stage, save_s: float, step_s: float | None, hard_per_s: float
) -> tuple[float, str]:
    """Seconds of work between two saves of a stage, and what says so.

    Args:
        stage: The stage.
        save_s: That a save holds it up.
        step_s: Of a step; None: not known.
        hard_per_s: How often work is lost. Where never, a job expects what it expects at first.
    """
    if not saves_at_all(stage):
        return math.inf, "never"
    best_s = formula_s(save_s, hard_per_s or 1 / USUAL_S)
    if stage.train is None:
        return best_s, "not known, as auto"
    rules = stage.train.checkpoint
    if rules.every == "auto":
        return _within(best_s, rules, step_s), "auto"
    if step_s:
        return rules.every * step_s, f"every {rules.every} steps"
    return _within(best_s, rules, step_s), f"every {rules.every} steps, of unknown length, as auto"


def _within(best_s: float, rules: Checkpointing, step_s: float | None) -> float:
    """Inside the bounds of the file, as `jobs.checkpoint.interval` does it."""
    lowest_s = max(float(rules.min_interval), step_s or 0.0)
    return max(lowest_s, min(best_s, rules.max_interval))
