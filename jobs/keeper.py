"""Keeps a training run safe: when it is saved, what it resumes from, and what if the disk fails.

Notable: rank 0 alone looks at clocks and at what became of a save. What it wishes goes with the
question that the ranks agree on before each step, so all of them act in the same step. A save
that fails is tried again while the run goes on; before more work than `max_unsaved` hangs on it
the run stops as if it were preempted (exit 75), and says so. A zombie saves nothing.
"""

import time
from collections.abc import Mapping
from statistics import mean
from typing import Any, NamedTuple

import deepspeed
from torch import Tensor, nn

from jobs.checkpoint.interval import SaveTimer
from jobs.checkpoint.loading import load
from jobs.checkpoint.progress import Progress
from jobs.checkpoint.resume import Found, find_resume_point
from jobs.checkpoint.saver import Saved, Saver, Snapshot
from jobs.checkpoint.state import EngineState
from jobs.contract.checkpointing import Checkpointing
from jobs.contract.hazard import read_hazard
from jobs.distributed import on_rank_0
from jobs.job import Job, RefusedError, StoppedError
from jobs.log import say
from jobs.steps import StepOutcome

RETRY_S = 30.0
"""Before a save that failed is tried again; each further failure doubles it."""
LONGEST_RETRY_S = 600.0
FINAL_TRIES = 3


class Wishes(NamedTuple):
    """What rank 0 wants all ranks to do; 0 or 1 each, and 0 on the other ranks.

    Attributes:
        collect: Take note of what became of the save that was under way.
        save: Save.
        give_up: Stop, too much is unsaved.
    """

    collect: int = 0
    save: int = 0
    give_up: int = 0


class Keeper:
    """Knows what of a training run is safe on the disk.

    Args:
        job: This rank's view of the attempt.
        engine: DeepSpeed's.
        rules: When to save and what to keep.
        carried: Weights to add to those of the module in the final checkpoint.
    """

    def __init__(
        self,
        job: Job,
        engine: Any,  # noqa: ANN401 - DeepSpeed is untyped
        rules: Checkpointing,
        *,
        carried: Mapping[str, Tensor],
    ) -> None:
        self._job, self._engine, self._rules, self._carried = job, engine, rules, carried
        self._state = EngineState(engine)
        self._saver = Saver(job, self._state, rules)
        self._timer: SaveTimer
        self._parent: str | None = None
        # Step and `final` of the newest checkpoint; of step 0 there is nothing to save.
        self._safe = (0, False)
        self._safe_at = time.monotonic()
        self._begun_at = self._safe_at
        self._failures = 0
        self._retry_at: float | None = None
        self._losses: list[float] = []
        self._saved_losses: list[float] = []

    def resume(self) -> Progress:
        """Goes back to the newest valid checkpoint; the start where there is none.

        Raises:
            RefusedError: There are checkpoints and none is valid, or it is another model's.
        """
        found = find_resume_point(self._job.folder)
        self._tell_bad(found)
        progress, save_s = Progress(), None
        if found.newest is not None:
            path, manifest = found.newest
            self._parent, self._safe = str(path), (manifest.step, manifest.final)
            save_s = manifest.save_s
            progress = load(self._state, path)
        self._job.reached.step = progress.step
        self._safe_at = time.monotonic()
        self._timer = SaveTimer(
            self._rules,
            lambda: read_hazard(self._job.folder.hazard, len(self._job.place.hosts)),
            since=progress,
            now_s=self._safe_at,
            durable_s=save_s,
        )
        return progress

    def stepped(self, outcome: StepOutcome, step_s: float) -> None:
        """Takes note of a step."""
        self._timer.stepped(step_s)
        if outcome.loss is not None and not outcome.why:
            self._losses.append(outcome.loss)

    def wishes(self, progress: Progress) -> Wishes:
        """What is to be done before the next step, from rank 0's view."""
        if self._job.place.rank:
            return Wishes()
        now = time.monotonic()
        is_free = self._saver.is_idle or self._saver.is_done
        is_ripe = self._retry_at is None or now >= self._retry_at
        # It is kept for being an epoch's end: the steps after it will not do.
        ends_epoch = self._rules.keep_epochs and progress.batch == 0
        return Wishes(
            collect=int(self._saver.is_done),
            save=int((is_free or ends_epoch) and is_ripe and self._is_due(progress, now)),
            give_up=int(now - self._safe_at > self._rules.max_unsaved),
        )

    def _is_due(self, progress: Progress, now: float) -> bool:
        if progress.step <= self._safe[0]:
            return False
        # A fixed number of steps may take longer than may be lost; half of it leaves time to try.
        is_late = now - self._safe_at > self._rules.max_unsaved / 2
        is_due = self._timer.is_due(progress, now)
        if (choice := self._timer.news()) is not None:
            self._job.tell("save_interval", **vars(choice))
        return is_late or self._failures > 0 or is_due

    def act(self, wishes: Wishes, progress: Progress) -> float:
        """Does what all ranks have agreed on; all call it together.

        Returns:
            Seconds that it took.

        Raises:
            RefusedError: A newer submission or attempt took over.
            StoppedError: Nothing can be saved, and too much would be lost (exit 75).
        """
        began = time.monotonic()
        if wishes.collect or (wishes.save and not self._saver.is_idle):
            self._collect()
        if wishes.give_up and self._safe[0] < progress.step:
            if not self._saver.is_idle:  # the disk hangs; what waits for it would hang, too
                raise self._stopped(progress)
            self.stop(progress)
        if wishes.save and self._safe[0] < progress.step:
            self._begin(progress)
        return time.monotonic() - began

    def stop(self, progress: Progress) -> None:
        """Saves and raises StoppedError; all ranks call it at the same step.

        Raises:
            RefusedError: A newer submission or attempt took over.
            StoppedError: With the step that is safe on the disk.
        """
        self.finish(progress)
        raise self._stopped(progress)

    def finish(self, progress: Progress, *, final: bool = False) -> None:
        """Saves, unless this very state is safe, and waits until it is on the disk.

        Raises:
            RefusedError: A newer submission or attempt took over.
            StoppedError: The final checkpoint cannot be saved.
        """
        if not self._saver.is_idle:
            self._collect()
        for number in range(FINAL_TRIES):
            if self._safe >= (progress.step, final):
                return
            if number:
                time.sleep(min(number, self._rules.max_unsaved))
            self._begin(progress, final=final)
            self._collect()
        if final and self._safe < (progress.step, final):
            raise self._stopped(progress)

    def _stopped(self, progress: Progress) -> StoppedError:
        step = self._safe[0]
        if step == progress.step:
            return StoppedError(step)
        return StoppedError(
            step,
            f"stopped at step {progress.step}: the disk takes no checkpoint; step {step} is safe",
        )

    def _begin(self, progress: Progress, *, final: bool = False) -> None:
        taken_over = on_rank_0(self._job.taken_over)
        if taken_over is not None:
            raise RefusedError(f"{taken_over}; step {progress.step} is not saved", fault="fenced")
        self._begun_at = time.monotonic()
        self._saved_losses, self._losses = self._losses, []
        weights = {**self._carried, **weights_to_keep(self._engine.module)} if final else None
        self._saver.begin(
            Snapshot(
                progress=progress,
                parent=self._parent,
                loss=mean(self._saved_losses) if self._saved_losses else None,
                ends_epoch=progress.batch == 0 and progress.epoch > 0,
                final=final,
            ),
            weights if self._job.place.rank == 0 else None,
        )
        self._timer.began(progress, time.monotonic())

    def _collect(self) -> None:
        saved = self._saver.wait()
        step, final = saved.snapshot.progress.step, saved.snapshot.final
        if saved.taken_over is not None:
            raise RefusedError(f"{saved.taken_over}; step {step} is not saved", fault="fenced")
        if saved.error:
            self._failed(saved)
            return
        self._failures, self._retry_at = 0, None
        self._parent, self._safe = str(saved.path), (step, final)
        self._safe_at = self._begun_at
        self._timer.saved(saved.held_s, saved.save_s)
        self._job.tell(
            "checkpoint",
            step=step,
            path=str(saved.path),
            bytes=saved.bytes,
            save_s=saved.save_s,
            held_s=saved.held_s,
            final=final,
        )

    def _failed(self, saved: Saved) -> None:
        """The run goes on with the checkpoint that it has, and tries again later."""
        wait_s = min(RETRY_S * 2**self._failures, LONGEST_RETRY_S, self._rules.max_unsaved / 4)
        self._failures += 1
        self._losses = self._saved_losses + self._losses
        self._retry_at = time.monotonic() + wait_s
        step = saved.snapshot.progress.step
        self._job.tell("save_failed", step=step, error=saved.error, retry_s=wait_s)
        say(f"step {step} is not saved: {saved.error}")

    def _tell_bad(self, found: Found) -> None:
        """Tells of checkpoints that do not verify; raises RefusedError where none does."""
        for path, reason in found.bad:
            self._job.tell("bad_checkpoint", path=str(path), reason=reason)
            say(f"set aside {path}: {reason}")
        bad = [*(path for path, _ in found.bad), *found.set_aside]
        if bad and found.newest is None:
            reason = f"; the newest: {found.bad[0][1]}" if found.bad else ""
            raise RefusedError(
                f"none of the {len(bad)} checkpoints is valid{reason} ({bad[0]}). Mend them (its "
                f"name without `bad-`), or remove {bad[0].parent} to start at step 0",
                fault="checkpoints",
            )


def weights_to_keep(module: nn.Module) -> dict[str, Tensor]:
    """What another stage starts from: all but the frozen weights of the language model.

    Those come from their own folder. Under ZeRO-3 every rank must call this, and gets whole
    tensors, on the host.
    """
    kept = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad or not name.startswith("language_model."):
            with deepspeed.zero.GatheredParameters(
                [parameter], enabled=hasattr(parameter, "ds_id")
            ):
                kept[name] = parameter.detach().to("cpu", copy=True)
    persistent = module.state_dict().keys() - dict(module.named_parameters()).keys()
    for name, buffer in module.named_buffers():
        if name in persistent and not name.startswith("language_model."):
            kept[name] = buffer.detach().to("cpu", copy=True)
    return kept
