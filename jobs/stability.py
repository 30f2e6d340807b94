"""Stops a run whose steps have all gone bad, with a report of the batches that led to it.

A skipped step has changed no weight, so what was saved before it, or after it, is sound.
"""

import json
import math
import time
from typing import Any

import torch.distributed as dist

from jobs.checkpoint.progress import Progress
from jobs.contract.files import write_atomic
from jobs.contract.spec import Train
from jobs.job import Job, RefusedError
from jobs.origins import Origins
from jobs.steps import StepOutcome

LOWEST_LOSS_SCALE = 1.0
"""DeepSpeed raises when a step overflows with it."""


class StepWatch:
    """Counts skipped steps in a row; all ranks hold one and come to the same end.

    Args:
        job: This rank's view of the attempt.
        recipe: Says how many may be skipped in a row.
        origins: Of the samples.
    """

    def __init__(self, job: Job, recipe: Train, origins: Origins) -> None:
        self._job, self._limit, self._origins = job, recipe.max_bad_steps, origins
        self._bad: list[dict[str, Any]] = []

    def judge(self, progress: Progress, outcome: StepOutcome, *, lr: float) -> None:
        """Takes note of a step.

        Args:
            progress: Where the run stands after the step.
            outcome: What became of it.
            lr: Learning rate of the step.

        Raises:
            RefusedError: Too many were skipped in a row; names the report.
        """
        if not outcome.why:
            self._bad.clear()
            return
        self._bad.append(self._entry(progress, outcome, lr))
        if reason := self._reason(progress, outcome):
            raise self._refusal(progress, reason)

    def _reason(self, progress: Progress, outcome: StepOutcome) -> str:
        if progress.skipped_in_a_row >= self._limit:
            return f"{progress.skipped_in_a_row} steps in a row were skipped"
        # The step before the lowest: at the lowest itself DeepSpeed raises without a report.
        if outcome.loss_scale is not None and outcome.loss_scale <= 2 * LOWEST_LOSS_SCALE:
            return f"a step overflows even with a loss scale of {outcome.loss_scale:g}"
        return ""

    def _entry(self, progress: Progress, outcome: StepOutcome, lr: float) -> dict[str, Any]:
        return {
            "step": progress.step,
            "why": outcome.why,
            "lr": lr,
            "grad_norm": outcome.grad_norm,
            "loss_scale": outcome.loss_scale,
            "micro_batches": [
                {"rank": self._job.place.rank, "micro_batch": number, "loss": _as_json(loss)}
                | self._origins.describe(batch)
                for number, (batch, loss) in enumerate(
                    zip(outcome.batches, outcome.losses, strict=True)
                )
            ],
        }

    def _refusal(self, progress: Progress, reason: str) -> RefusedError:
        """The error to raise, with the report of all ranks written by rank 0."""
        place, last = self._job.place, self._bad[-1]
        path = self._job.folder.report_file(place.attempt, progress.step)
        on_all: list[Any] | None = [None] * place.world_size if place.rank == 0 else None
        dist.gather_object(self._bad, on_all)
        if on_all is not None:
            told = {
                "stage": self._job.spec.stage,
                "attempt": str(place.attempt),
                "at": time.time(),
                "reason": reason,
                "skipped_in_a_row": progress.skipped_in_a_row,
                "skipped": progress.skipped,
                "steps": _joined(on_all),
            }
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, json.dumps(told, indent=1, allow_nan=False))
        return RefusedError(
            f"step {progress.step}: {reason} ({_WORDS[last['why']]}); no weight was changed by "
            f"them and nothing is saved after them. Look at the batches in {path}; then lower "
            "lr, clip (clip_norm), use precision bf16 or fp32, or mend the data",
            report=path,
        )


_WORDS = {
    "loss": "the last for a loss that is infinite or no number",
    "gradient": "the last for a gradient that is infinite or no number",
    "no_clips": "the last because no clip of it could be read",
}


def _joined(on_all: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The steps as rank 0 noted them, with the micro-batches of all ranks."""
    return [
        steps[0] | {"micro_batches": [each for step in steps for each in step["micro_batches"]]}
        for steps in zip(*on_all, strict=True)
    ]


def _as_json(number: float | None) -> float | str | None:
    """JSON has no word for infinity: it becomes text."""
    return number if number is None or math.isfinite(number) else str(number)
