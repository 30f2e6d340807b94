"""Kills submits and passes by the thousand, on a Slurm on paper, and counts what must not be.

`python -m bench.crashes 1000 [--seed 1]`: each launcher is a process that is killed with SIGKILL
before or after the n-th thing that it does to the ledger or to the cluster, or at any moment.
Exit code 1 when a stage ever had two live jobs, a job had no row, a row had two jobs, a run was
not done after the last crash, or a launcher ended with an error.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.launcher.crashing import Crashing, faults_of, some_folder, some_moment
from tests.launcher.filed import FiledSlurm
from tests.launcher.worlds import make_pipeline

CRASHES_A_RUN = 12
PATIENCE = 60
"""Passes that nobody kills, until a run must be done."""
SETTINGS = ("cluster.backend=slurm", "requeue.storm=1000", "requeue.no_progress=1000")


@dataclass
class Tally:
    """What has been counted."""

    crashes: int = 0
    runs: int = 0
    duplicates: int = 0
    orphans: int = 0
    unfinished: int = 0
    errors: int = 0

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
        f"{tally.errors} errors"
    )
    return 0 if tally.good else 1


def crash(folder: Path, crashes: int, chance: random.Random) -> Tally:
    """Runs and kills until there have been so many crashes."""
    tally = Tally()
    while tally.crashes < crashes:
        tally.runs += 1
        world = some_folder(folder, tally.runs)
        most = min(CRASHES_A_RUN, crashes - tally.crashes)
        crash_run(world, most, chance, tally)
        shutil.rmtree(world)
    return tally


def crash_run(folder: Path, most: int, chance: random.Random, tally: Tally) -> None:
    """One run, whose launchers are killed `most` times at most before they are let alone."""
    slurm = FiledSlurm(folder / "jobs.json")
    crashing = Crashing(make_pipeline(folder, SETTINGS), slurm, slurm.clock)
    twice: set[str] = set()
    quiet = 0
    if chance.random() < 0.8:
        crashing.submit(at=some_moment(chance, 30))
    else:
        crashing.submit(after_s=chance.uniform(0.0, 0.3))
    while quiet < PATIENCE and not (crashing.crashes >= most and crashing.done()):
        if crashing.done():  # killed before its row, or finished: there is more to kill
            crashing.submit(at=some_moment(chance, 30))
        slurm.tick(chance)
        if crashing.crashes >= most:
            quiet += 1
            crashing.pass_once()
        elif chance.random() < 0.9:
            crashing.pass_once(at=some_moment(chance, 20))
        else:
            crashing.pass_once(after_s=chance.uniform(0.0, 0.1))
        twice.update(slurm.twice())
    faults = faults_of(crashing.ledger, [(j.slurm_id, j.name) for j in slurm.read()[1]])
    tally.crashes += crashing.crashes
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
