"""Kills submits and passes by the thousand, on a Slurm on paper, and counts what must not be.

`python -m bench.crashes 1000 [--seed 1]`: each launcher is a process that is killed with SIGKILL
before or after something that it does to the ledger or to the cluster, or at any moment.
Exit code 1 when a stage ever had two live jobs, a job had no row, a row had two jobs, a run was
not done after the last crash, or a launcher ended with an error.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.launcher.crashing import Crashing, faults_of, some_folder
from tests.launcher.filed import FiledSlurm
from tests.launcher.worlds import make_pipeline

CRASHES_A_WORLD = 100
"""A ledger of many runs is slow, and so are the first passes of a new one."""
PATIENCE = 60
"""Passes that nobody kills, until a run must be done."""
SETTINGS = ("cluster.backend=slurm", "requeue.storm=1000", "requeue.no_progress=1000")


@dataclass
class Tally:
    """What has been counted."""

    moments: "Counter[str]" = field(default_factory=Counter)
    runs: int = 0
    duplicates: int = 0
    orphans: int = 0
    unfinished: int = 0
    errors: int = 0

    @property
    def crashes(self) -> int:
        """All of them."""
        return self.moments.total()

    @property
    def good(self) -> bool:
        """Whether nothing was found that must not be."""
        return not (self.duplicates or self.orphans or self.unfinished or self.errors)


def main() -> int:
    """Prints the count."""
    parser = argparse.ArgumentParser(prog="python -m bench.crashes", description=__doc__)
    parser.add_argument("crashes", type=int, nargs="?", default=1000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    began, folder = time.monotonic(), Path(tempfile.mkdtemp(prefix="bench-crashes-"))
    tally = crash(folder, asked.crashes, random.Random(asked.seed))
    shutil.rmtree(folder)
    print(
        f"{tally.crashes} crashes in {tally.runs} runs, {time.monotonic() - began:.0f} s: "
        f"{tally.duplicates} duplicates, {tally.orphans} orphans, {tally.unfinished} unfinished, "
        f"{tally.errors} errors\n"
        + ", ".join(f"{moment} {count}" for moment, count in tally.moments.most_common())
    )
    return 0 if tally.good else 1


def crash(folder: Path, crashes: int, chance: random.Random) -> Tally:
    """Runs and kills until there have been so many crashes."""
    tally = Tally()
    while tally.crashes < crashes:
        world = some_folder(folder, tally.crashes)
        most = min(CRASHES_A_WORLD, crashes - tally.crashes)
        crash_world(world, most, chance, tally)
        shutil.rmtree(world)
    return tally


def crash_world(folder: Path, most: int, chance: random.Random, tally: Tally) -> None:
    """Runs whose launchers are killed `most` times before they are let alone."""
    slurm = FiledSlurm(folder / "jobs.json")
    crashing = Crashing(make_pipeline(folder, SETTINGS), slurm, slurm.clock)
    twice: set[str] = set()
    quiet = 0
    crashing.warm_up(lambda: slurm.tick(chance))
    while quiet < PATIENCE and not (crashing.crashes.total() >= most and crashing.done()):
        slurm.tick(chance)
        if crashing.crashes.total() >= most:
            quiet += 1
            crashing.run("pass")
        else:  # done: finished, or killed before there was a row
            crashing.crash("submit" if crashing.done() else "pass", chance, within_s=0.3)
        twice.update(slurm.twice())
    faults = faults_of(crashing.ledger, [(j.slurm_id, j.name) for j in slurm.read()[1]])
    tally.moments += crashing.crashes
    tally.runs += crashing.states().count("reused")  # each run has one such stage
    tally.duplicates += len(twice) + len(faults.duplicates) + len(faults.strangers)
    tally.orphans += len(faults.orphans)
    tally.unfinished += not crashing.done()
    tally.errors += len(crashing.said)
    report_trouble(folder, crashing, faults, twice)


def report_trouble(folder: Path, crashing: Crashing, faults: object, twice: set[str]) -> None:
    """Says what was found, so that it can be looked at."""
    if twice or crashing.said or not crashing.done() or any(vars(faults).values()):
        print(f"{folder}: {faults}; twice: {twice}; {crashing.states()}; {crashing.said[-3:]}")


if __name__ == "__main__":
    sys.exit(main())
