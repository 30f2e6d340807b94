"""Saves and resumes a job's training state, and tells of it; a zombie saves nothing."""

from collections.abc import Callable, Mapping
from typing import Any

import torch.distributed as dist
from torch import Tensor

from jobs import checkpoint
from jobs.checkpoint import Progress
from jobs.task import Job, RefusedError


class Keeper:
    """Knows what of a training run is safe on the disk.

    Args:
        job: This rank's view of the attempt.
        engine: DeepSpeed's.
        keep: How many of the newest checkpoints stay on the disk.
        carried: Weights to add to those of the module in the final checkpoint.
    """

    def __init__(
        self,
        job: Job,
        engine: Any,  # noqa: ANN401 - DeepSpeed is untyped
        *,
        keep: int,
        carried: Mapping[str, Tensor],
    ) -> None:
        self._job, self._engine, self._keep, self._carried = job, engine, keep, carried
        self._parent: str | None = None
        # Step and `final` of the newest checkpoint; of step 0 there is nothing to save.
        self._safe = (0, False)

    def resume(self) -> Progress:
        """Goes back to the newest valid checkpoint; the start where there is none."""
        found = checkpoint.find_resume_point(self._job.folder)
        if found is None:
            return Progress()
        path, manifest = found
        self._parent, self._safe = str(path), (manifest.step, manifest.final)
        return checkpoint.load(self._engine, path)

    def save(self, progress: Progress, *, final: bool = False) -> None:
        """Saves, unless this very state is safe; all ranks call it at the same step.

        Raises:
            RefusedError: A newer submission took over.
        """
        if self._safe >= (progress.step, final):
            return
        if _on_rank_0(self._job.is_fenced_off):
            raise RefusedError(
                f"a newer submission took over before step {progress.step} was saved"
            )
        path, manifest = checkpoint.save(
            self._engine,
            self._job.folder,
            progress,
            carried=self._carried,
            final=final,
            parent=self._parent,
            code_sha=self._job.spec.code_sha,
        )
        self._parent, self._safe = str(path), (progress.step, final)
        self._job.tell(
            "checkpoint",
            step=progress.step,
            path=str(path),
            bytes=manifest.bytes,
            save_s=manifest.save_s,
            final=final,
        )
        if self._job.place.rank == 0:
            checkpoint.prune(self._job.folder, self._keep)


def _on_rank_0(question: Callable[[], bool]) -> bool:
    """Rank 0's answer, on all ranks."""
    answer: list[Any] = [question() if dist.get_rank() == 0 else None]
    dist.broadcast_object_list(answer, src=0)
    return bool(answer[0])
