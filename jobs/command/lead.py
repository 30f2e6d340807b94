"""What rank 0 does besides: it chooses, watches, tells, and says how the attempt has ended."""

import glob
import os
import time
from pathlib import Path

from jobs.command.digests import Digesting, sizes_alone
from jobs.command.foreign import Look, look_at, matches
from jobs.command.output import Tail
from jobs.command.process import Ended
from jobs.command.resume import resume_point
from jobs.command.steps import Steps
from jobs.command.surroundings import Surroundings
from jobs.command.watch import Saved, Watch
from jobs.contract.manifest import CheckpointFile, Manifest
from jobs.contract.placeholders import fill
from jobs.job import Job, RefusedError, StoppedError
from jobs.log import say


class NothingSavedError(FileNotFoundError):
    """The program ended well and has not saved what the stage is for."""


class Lead:
    """Rank 0's part of an attempt.

    Args:
        job: Rank 0's job.
        around: Where its process stands.
    """

    def __init__(self, job: Job, around: Surroundings) -> None:
        self._job, self._around, self._watched = job, around, around.command.checkpoints
        usual = Manifest(
            step=0, files=(), world_size=job.place.world_size, code_sha=job.spec.code_sha
        )
        self._watch = Watch(job.folder, self._watched, self._pattern(self._watched.glob), usual)
        self._steps: Steps | None = None
        self._looked_at = 0.0
        self.first_step = 0

    def _pattern(self, text: str) -> str:
        """A glob of the pipeline file with an absolute path."""
        names = {name: glob.escape(text) for name, text in self._around.names(None).items()}
        return os.path.join(glob.escape(str(self._around.command.cwd)), fill(text, names))  # noqa: PTH118 - a pattern, no path

    def choose_checkpoint(self) -> Path | None:
        """The checkpoint of the program's to go on from.

        Raises:
            RefusedError: There are checkpoints that must not be used, and no others.
        """
        found = None
        if self._watched.watch:
            found = resume_point(self._job, self._watch, adopt=self._watched.adopt)
        self._watch.goes_on_from(found)
        if found is None or found.manifest.source is None:
            return None
        self.first_step = found.manifest.step
        return Path(found.manifest.source)

    def attend(self) -> None:
        """The program starts now."""
        self._steps = Steps(self._job, self._around.command.progress, self.first_step)

    def look(self, tail: Tail) -> None:
        """Takes note of what the program has said and saved."""
        self._told.read(tail.lines())
        now = time.monotonic()
        if now - self._looked_at < self._watched.every_s:
            return
        self._looked_at = now
        try:
            if self._job.taken_over() is not None:  # the process sees to the rest
                return
            for saved in self._watch.look():
                self._told.saved(saved)
        except (OSError, ValueError) as error:  # a disk that fails for a moment ends no training
            say(f"cannot look at the checkpoints: {error}")

    def wait_on(self, tail: Tail) -> None:
        """The same while only the programs of other ranks go on."""
        self.look(tail)
        self._told.tell_again()

    def conclude(self, ended: Ended, tail: Tail, ends_at: float | None) -> int:
        """Records what the program has saved last; gives the step of the final checkpoint.

        Args:
            ended: How it has ended on all ranks.
            tail: Its last words.
            ends_at: When there is no more time, monotonic seconds; None: there is enough.

        Raises:
            StoppedError: It is to go on later.
            RefusedError: It is not.
            Exception: It failed.
        """
        self._refuse_zombie()
        self._told.read(tail.lines())
        for saved in self._watch.settle(at_rest=ended.at_rest, ends_at=ends_at):
            self._told.saved(saved)
        self._told.tell()
        outcome = ended.ending.outcome
        if outcome == "done" or (outcome == "stopped" and ended.at_rest and self._is_done()):
            return self._finish()
        if outcome == "stopped":
            raise StoppedError(self._safe_step())
        if outcome == "refused":
            raise RefusedError(ended.ending.text, fault=ended.ending.fault)
        raise ended.error or RuntimeError(ended.ending.text)

    @property
    def _told(self) -> Steps:
        if self._steps is None:
            raise RuntimeError("attend() comes first")
        return self._steps

    def _refuse_zombie(self) -> None:
        taken_over = self._job.taken_over()
        if taken_over is not None:
            raise RefusedError(taken_over, fault="fenced")

    def _safe_step(self) -> int:
        kept = self._watch.kept()
        return kept[0].manifest.step if kept else 0

    def _is_done(self) -> bool:
        """Whether a program that was told to end had come to its end all the same."""
        done = self._around.command.done
        return done is not None and bool(matches(self._pattern(done)))

    def _finish(self) -> int:
        """Marks the stage done."""
        final = self._final()
        self._refuse_zombie()
        self._told.saved(final, is_final=True)
        return final.manifest.step

    def _final(self) -> Saved:
        command, step = self._around.command, self._told.step
        if command.done is not None:
            paths = matches(self._pattern(command.done))
            look = tuple(file for path in paths for file in look_at(path))
            if not look:
                raise NothingSavedError(
                    f"{command.title} ended well, but nothing is {command.done}"
                )
            common = paths[0] if len(paths) == 1 else Path(os.path.commonpath(paths))
            return self._watch.finish(step, self._described(look), str(common))
        if not self._watched.watch:
            return self._watch.finish(step, (), None)
        kept = self._watch.kept()
        if not kept:
            raise NothingSavedError(self._nothing_saved())
        newest = kept[0].manifest
        return self._watch.finish(newest.step, newest.files, newest.source)

    def _described(self, look: Look) -> tuple[CheckpointFile, ...]:
        if self._watched.digest:
            digesting = Digesting(look)
            digesting.wait(None)
            if digesting.files is not None:
                return tuple(digesting.files)
        return sizes_alone(look)

    def _nothing_saved(self) -> str:
        watched = self._watched
        wanted = f" that holds {', '.join(watched.complete_when)}" if watched.complete_when else ""
        return (
            f"{self._around.command.title} ended well, but has saved no checkpoint "
            f"{watched.glob}{wanted}; correct command.checkpoints, or write `checkpoints: none` "
            "if it saves none"
        )
