"""Saves and resumes a job's training state, and tells of it; a zombie saves nothing."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from jobs.checkpoint import saving
from jobs.checkpoint.progress import Progress
from jobs.distributed import on_rank_0
from jobs.job import Job, RefusedError
from jobs.checkpoint.store import Found, find_resume_point, prune


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
        """Goes back to the newest valid checkpoint; the start where there is none.

        Raises:
            RefusedError: There are checkpoints and none is valid, or it is another number of
                ranks'.
        """
        found = find_resume_point(self._job.folder)
        self._tell_bad(found)
        if found.newest is None:
            self._job.reached.step = 0
            return Progress()
        path, manifest = found.newest
        self._job.reached.step = manifest.step
        self._parent, self._safe = str(path), (manifest.step, manifest.final)
        return saving.load(self._engine, path)

    def _tell_bad(self, found: Found) -> None:
        """Tells of checkpoints that do not verify; raises RefusedError where none does."""
        for path, reason in found.bad:
            self._job.tell("bad_checkpoint", path=str(path), reason=reason)
            print(f"passed over {path}: {reason}", flush=True)  # noqa: T201 - the rank's log
        if found.bad and found.newest is None:
            path, reason = found.bad[0]
            raise RefusedError(
                f"none of the {len(found.bad)} checkpoints is valid; the newest: {reason} "
                f"({path}). Mend them, or remove {path.parent} to start at step 0",
                fault="checkpoints",
            )

    def save(self, progress: Progress, *, final: bool = False) -> None:
        """Saves, unless this very state is safe; all ranks call it at the same step.

        Raises:
            RefusedError: A newer submission or attempt took over.
        """
        if self._safe >= (progress.step, final):
            return
        taken_over = on_rank_0(self._job.taken_over)
        if taken_over is not None:
            raise RefusedError(f"{taken_over}; step {progress.step} is not saved", fault="fenced")
        path, manifest = saving.save(
            self._engine,
            self._job,
            progress,
            carried=self._carried,
            final=final,
            parent=self._parent,
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
            prune(self._job, self._keep)
