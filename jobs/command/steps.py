"""How far a foreign program is, by what it says and by what it saves."""

import re
import time
from collections.abc import Iterable
from typing import Final

from jobs.command.watch import Saved
from jobs.contract.command import Progress
from jobs.job import Job

AGAIN_S: Final = 60.0


class Steps:
    """Reads figures from the program's output and tells them as events; on rank 0.

    Args:
        job: The rank's job.
        progress: What to look for.
        first_step: Where the program goes on from.
        again_s: From one `step` event to the next where the step is the same.
    """

    def __init__(
        self, job: Job, progress: Progress, first_step: int, *, again_s: float = AGAIN_S
    ) -> None:
        self._job, self._every_s, self._again_s = job, progress.every_s, again_s
        self._patterns = [re.compile(text) for text in progress.patterns]
        self._total = progress.total_steps
        self._first_step = self._step = first_step
        self._figures: dict[str, float | int] = {}
        self._is_started = False
        self._told = (first_step, time.monotonic())
        self._last_line, self._goes_on = "", False
        self._told_again_at = time.monotonic()
        job.reached.step = first_step
        if not self._patterns:
            self._tell_started()

    @property
    def step(self) -> int:
        """The last step that is known."""
        return self._step

    def read(self, lines: Iterable[str]) -> None:
        """Takes note of what the program has said, and tells it when it is time."""
        for line in lines:
            for pattern in self._patterns:
                if found := pattern.search(line):
                    self._goes_on = self._goes_on or line != self._last_line
                    self._last_line = line
                    self._note({key: v for key, v in found.groupdict().items() if v is not None})
        if time.monotonic() - self._told[1] >= self._every_s:
            self.tell()
        if self._goes_on:
            self.tell_again()

    def saved(self, saved: Saved, *, is_final: bool = False) -> None:
        """Tells of a checkpoint."""
        manifest = saved.manifest
        self._tell_started()
        self._job.tell(
            "checkpoint",
            step=manifest.step,
            path=str(saved.folder),
            bytes=manifest.bytes,
            save_s=manifest.save_s,
            final=is_final,
        )
        if self._step > manifest.step:  # the program has gone on since it saved
            self._job.tell("step", step=self._step, **self._figures)
        self._reach(manifest.step)

    def tell(self) -> None:
        """Tells the last step, if it has not been told."""
        told_step, told_at = self._told
        now = time.monotonic()
        if self._step > told_step:
            if now - told_at >= self._every_s:  # a shorter time would be a guess
                self._figures["step_s"] = (now - told_at) / (self._step - told_step)
            self._tell_step()
            self._told = (self._step, now)

    def tell_again(self) -> None:
        """Tells the last step once more, now and then: a step can take long.

        The launcher takes for a hang what tells nothing.
        """
        self._goes_on = True
        if time.monotonic() - self._told_again_at >= self._again_s:
            self._tell_started()
            self._tell_step()

    def _tell_step(self) -> None:
        self._goes_on, self._told_again_at = False, time.monotonic()
        self._job.tell("step", step=self._step, **self._figures)

    def _note(self, found: dict[str, str]) -> None:
        total, step = _whole(found.get("total")), _whole(found.get("step"))
        if step is not None and total is not None:
            if self._total is None:
                self._total = total
            elif total != self._total:  # another bar, such as that of an evaluation
                return
        for name in ("loss", "lr", "epoch"):
            value = _number(found.get(name, ""))
            if value is not None:
                self._figures[name] = int(value) if name == "epoch" else value
        if step is not None:
            self._tell_started()
            self._reach(step)

    def _reach(self, step: int) -> None:
        self._step = max(self._step, step)
        self._job.reached.step = self._step

    def _tell_started(self) -> None:
        if not self._is_started:
            self._is_started = True
            self._told = (self._first_step, time.monotonic())
            self._job.tell("started", resume_step=self._first_step, total_steps=self._total)


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
