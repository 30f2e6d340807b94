"""The work that `bench.preemptions` lets three ways of running it do: it counts.

As a program it saves into a folder when it is told to, every so many steps, and at the end; it
also writes each step that it executes into a file, so that nothing done twice stays unseen.
`Counting` is the same for submitit.
"""

import argparse
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import submitit
from submitit.core.utils import DelayedSubmission


@dataclass(frozen=True)
class Counter:
    """Counts from the newest save on.

    Attributes:
        folder: Of the saves and of the file of executed steps.
        steps: In all.
        step_s: Seconds each.
        save_every: Steps between two saves.
        heeds: SIGTERM and SIGUSR2 let it save and leave with 75.
        tells: It prints each step.
    """

    folder: Path
    steps: int
    step_s: float
    save_every: int
    heeds: bool = False
    tells: bool = False

    def count(self) -> None:
        """To the end, or until it is told to stop."""
        told: list[int] = []
        if self.heeds:
            for number in (signal.SIGTERM, signal.SIGUSR2):
                signal.signal(number, lambda got, _: told.append(got))
        step = self.saved()
        with (self.folder / "executed").open("a") as executed:
            while step < self.steps and not told:
                time.sleep(self.step_s)
                step += 1
                executed.write(f"{step}\n")
                executed.flush()
                if self.tells:
                    print(f"step {step} of {self.steps}", flush=True)
                if step % self.save_every == 0:
                    self.save(step)
        self.save(step)
        if step < self.steps:
            sys.exit(75)

    def saved(self) -> int:
        """The newest save."""
        saves = [int(path.name.split("-")[1]) for path in self.folder.glob("save-*")]
        return max(saves, default=0)

    def save(self, step: int) -> None:
        """One file a save, moved into its place."""
        aside = self.folder / f".save-{step}.{os.getpid()}"
        aside.write_text(f"{step}\n")
        aside.replace(self.folder / f"save-{step}")


class Counting(submitit.helpers.Checkpointable):  # type: ignore[misc]  # submitit is not typed
    """Counts; a time-out or preemption notice that submitit passes on hands it in again."""

    def __call__(self, counter: Counter) -> None:
        """Counts."""
        counter.count()

    def checkpoint(self, counter: Counter) -> DelayedSubmission:
        """What is submitted again; the saves on the disk say from where."""
        return DelayedSubmission(self, counter)


def main() -> None:
    """Counts as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("steps", type=int)
    parser.add_argument("step_s", type=float)
    parser.add_argument("save_every", type=int)
    parser.add_argument("--heeds", action="store_true")
    parser.add_argument("--tells", action="store_true")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    Counter(**vars(args)).count()


if __name__ == "__main__":
    main()
