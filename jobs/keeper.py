"""Keeps a training run safe: when it is saved, what it resumes from, and what if the disk fails.

Notable: rank 0 alone looks at clocks and at what became of a save. What it wishes goes with the
question that the ranks agree on before each step, so all of them act in the same step. A save
that fails is tried again while the run goes on; before more work than `max_unsaved` hangs on it
the run stops as if it were preempted (exit 75), and says so. A zombie saves nothing.
"""

import time
from collections.abc import Mapping
from statistics import mean
from typing import Any

from torch import Tensor

from jobs.checkpoint.interval import SaveTimer
from jobs.checkpoint.loading import load
from jobs.checkpoint.progress import Progress
from jobs.checkpoint.resume import Found, find_resume_point, refuse_to_start_over
from jobs.checkpoint.saver import Saved, Saver, Snapshot
from jobs.checkpoint.standing import Standing, Wishes
from jobs.checkpoint.state import EngineState
from jobs.checkpoint.weights import weights_to_keep
from jobs.contract.checkpointing import Checkpointing
from jobs.contract.hazard import read_hazard
from jobs.job import Job, RefusedError, StoppedError
from jobs.log import say
from jobs.steps import StepOutcome

LONGEST_SAVE_S = 600.0
"""A save that takes longer, and longer than may be unsaved, hangs."""
LINGER_S = 1.0
"""That a stop may wait for old checkpoints to be removed; the next attempt removes the rest."""
TRIES = 3
"""In a row, before training goes on or ends without a save."""
PAUSE_S = 30.0
"""Before the final checkpoint is tried again."""
LOOK_S = 1.0
"""Between two questions whether that pause is over, or the job is to stop."""


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
        self._standing = Standing(since=time.monotonic())
        self._step_s = 0.0
        self._losses: list[float] = []
        self._saved_losses: list[float] = []

    def resume(self) -> Progress:
        """Goes back to the newest valid checkpoint; the start where there is none.

        Raises:
            RefusedError: There are checkpoints and none is valid, or it is another model's.
        """
        found = find_resume_point(self._job.folder)
        self._tell_bad(found)
        refuse_to_start_over(found, self._job.folder)
        self._saver.tidy()
        progress, save_s, is_final = Progress(), None, False
        if found.newest is not None:
            path, manifest = found.newest
            self._parent, save_s, is_final = str(path), manifest.save_s, manifest.final
            progress = load(self._state, path)
        self._job.reached.step = progress.step
        now = time.monotonic()
        self._standing = Standing(progress.step, is_final, since=now)
        self._timer = SaveTimer(
            self._rules,
            lambda: read_hazard(self._job.folder.hazard, len(self._job.place.hosts)),
            since=progress,
            now_s=now,
            durable_s=save_s,
        )
        return progress

    def stepped(self, outcome: StepOutcome, step_s: float) -> None:
        """Takes note of a step."""
        self._step_s = step_s
        self._timer.stepped(step_s)
        if outcome.loss is not None and not outcome.why:
            self._losses.append(outcome.loss)

    def wishes(self, progress: Progress) -> Wishes:
        """What is to be done before the next step, from rank 0's view."""
        if self._job.place.rank:
            return Wishes()
        now = time.monotonic()
        is_done, standing = self._saver.is_done, self._standing
        if is_done and (saved := self._saver.outcome) is not None:
            # All ranks take note of it before they act on the other wishes.
            standing = standing.after(saved, now=now, max_unsaved=self._rules.max_unsaved)
        is_free = self._saver.is_idle or is_done
        is_ripe = standing.retry_at is None or now >= standing.retry_at
        # It is kept for being an epoch's end: the steps after it will not do.
        ends_epoch = self._rules.keep_epochs and progress.batch == 0
        is_due = self._is_due(standing, progress, now)
        return Wishes(
            collect=int(is_done),
            save=int((is_free or ends_epoch) and is_ripe and is_due),
            give_up=int(now + self._step_s - standing.since > self._rules.max_unsaved),
        )

    def _is_due(self, standing: Standing, progress: Progress, now: float) -> bool:
        if standing.holds(progress.step):
            return False
        # A fixed number of steps may take longer than may be lost; half of it leaves time to try.
        is_late = now - standing.since > self._rules.max_unsaved / 2
        is_due = self._timer.is_due(progress, now)
        if (choice := self._timer.news()) is not None:
            self._job.tell("save_interval", **vars(choice))
        return is_late or standing.failures > 0 or is_due

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
            self._collect(progress)
        if wishes.give_up and not self._standing.holds(progress.step):
            self._save_or_stop(progress)
        if wishes.save and not self._standing.holds(progress.step):
            self._begin(progress)
        return time.monotonic() - began

    def stop(self, progress: Progress) -> None:
        """Saves and raises StoppedError; all ranks call it at the same step.

        Raises:
            RefusedError: A newer submission or attempt took over.
            StoppedError: With the step that is safe on the disk.
        """
        self.finish(progress)
        self._saver.close(LINGER_S)
        raise self._stopped(progress)

    def _save_or_stop(self, progress: Progress) -> None:
        """Makes no further step before a save is on the disk; raises StoppedError without one."""
        if not self._saver.is_idle:  # it is slow, or the disk hangs
            self._collect(progress, limit_s=self._rules.max_unsaved / 2)
            if not self._standing.failures:
                return
        self._try_to_save(progress)
        if not self._standing.holds(progress.step):
            raise self._stopped(progress)

    def finish(self, progress: Progress, *, final: bool = False) -> None:
        """Saves, unless this very state is safe, and waits until it is on the disk.

        The final checkpoint is tried for longer: nothing else is left to do, and without it
        the next attempt would make steps again.

        Raises:
            RefusedError: A newer submission or attempt took over.
            StoppedError: The final checkpoint cannot be saved, or the disk hangs.
        """
        if not self._saver.is_idle:
            self._collect(progress)
        began = time.monotonic()
        self._try_to_save(progress, final=final)
        if not final:
            return
        at_stake_s = min(began - self._standing.since, self._rules.max_unsaved)
        while not self._standing.holds(progress.step, final=True):
            if not self._may_try_again(began + at_stake_s):
                raise self._stopped(progress)
            self._try_to_save(progress, final=True)
        self._saver.close(LONGEST_SAVE_S)

    def _try_to_save(self, progress: Progress, *, final: bool = False) -> None:
        """A few times in a few seconds; the disk may have the last word."""
        for number in range(TRIES):
            if self._standing.holds(progress.step, final=final):
                return
            if number:
                time.sleep(min(number, self._rules.max_unsaved / 8))
            self._begin(progress, final=final)
            self._collect(progress)

    def _may_try_again(self, ends_at: float) -> bool:
        """Whether the disk is asked once more, after a pause; the ranks agree on it.

        Args:
            ends_at: When waiting has cost as much as the steps that would be made again.
        """
        ripe_at = time.monotonic() + min(PAUSE_S, self._rules.max_unsaved / 4)
        while True:
            now, decides = time.monotonic(), self._job.place.rank == 0
            agreed = self._job.stop.agree(
                int(decides and now >= ends_at), int(decides and now >= ripe_at)
            )
            is_late, is_ripe = agreed.counts
            if agreed.stop or is_late:
                return False
            if is_ripe:
                return True
            time.sleep(LOOK_S)

    def _stopped(self, progress: Progress) -> StoppedError:
        step = self._standing.step
        if step == progress.step:
            return StoppedError(step)
        return StoppedError(
            step,
            f"stopped at step {progress.step}: the disk takes no checkpoint; step {step} is safe",
        )

    def _begin(self, progress: Progress, *, final: bool = False) -> None:
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

    def _collect(self, progress: Progress, *, limit_s: float | None = None) -> None:
        """Takes note of the save that is under way; waits for it, unless the disk hangs.

        Args:
            progress: Where the run stands.
            limit_s: How long the save may still take; by default as long as one ever may.
        """
        usual_s = max(LONGEST_SAVE_S, self._rules.max_unsaved)
        try:
            saved = self._saver.wait(usual_s if limit_s is None else limit_s)
        except TimeoutError:
            raise self._stopped(progress) from None
        step, final = saved.snapshot.progress.step, saved.snapshot.final
        if saved.taken_over is not None:
            raise RefusedError(f"{saved.taken_over}; step {step} is not saved", fault="fenced")
        now, max_unsaved = time.monotonic(), self._rules.max_unsaved
        wait_s = self._standing.retry_s(max_unsaved)
        self._standing = self._standing.after(saved, now=now, max_unsaved=max_unsaved)
        if saved.error:
            self._failed(saved, wait_s)
            return
        self._parent = str(saved.path)
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

    def _failed(self, saved: Saved, wait_s: float) -> None:
        """The run goes on with the checkpoint that it has, and tries again later."""
        self._losses = self._saved_losses + self._losses
        step = saved.snapshot.progress.step
        self._job.tell("save_failed", step=step, error=saved.error, retry_s=wait_s)
        say(f"step {step} is not saved: {saved.error}")

    def _tell_bad(self, found: Found) -> None:
        """Tells of checkpoints that do not verify."""
        for path, reason in found.bad:
            self._job.tell("bad_checkpoint", path=str(path), reason=reason)
            say(f"set aside {path}: {reason}")
