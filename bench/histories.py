"""Random histories of runs against a model of Slurm, driving the real pass over a real ledger.

`python -m bench.histories 10000 [--seed N] [--limit SECONDS]` prints how many ran, how often a live
job was submitted again, and how many duplicates and orphans there were; exit code 1 if any.
"""

import argparse
import gc
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.launcher.chaos import run_history
from tests.launcher.histories import Start

SHOWN = 3
"""Histories that went wrong are shown in full up to this number."""
BATCH = 50
KINDS = {
    "resubmissions of a live job": "resubmitted ",
    "duplicates that could both train": "can both train",
    "orphans": "orphan",
    "children not tied to a parent": "does not wait for",
    "trained on an undone parent": "not done",
    "retries of what its user cancelled": "retried",
    "runs that came to no end": "stuck",
}
_starts: list[Start] = []


def main() -> int:
    """Runs them; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("histories", type=int)
    parser.add_argument("--seed", type=int, default=0, help="of the first one")
    parser.add_argument("--limit", type=float, default=1e9, help="seconds after which to stop")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="bench-histories-", dir=_memory()))
    began, ran, seen = time.monotonic(), 0, Counter[str]()
    wrong: list[str] = []
    batches = [
        range(first, min(first + BATCH, args.seed + args.histories))
        for first in range(args.seed, args.seed + args.histories, BATCH)
    ]
    deadline = time.time() + args.limit
    with ProcessPoolExecutor(args.workers, initializer=_begin, initargs=(root,)) as pool:
        for count, counted, found in pool.map(_run, batches, [deadline] * len(batches)):
            ran, seen, wrong = ran + count, seen + counted, wrong + found
    shutil.rmtree(root)
    _tell(ran, time.monotonic() - began, seen, wrong)
    return 1 if wrong or not ran else 0


def _memory() -> str | None:
    """A folder in memory, where there is one: the disk is not what is measured here."""
    shared = Path("/dev/shm")
    return str(shared) if os.access(shared, os.W_OK) else None


def _begin(root: Path) -> None:
    folder = root / str(os.getpid())
    _starts.extend([Start(folder / "two", 2), Start(folder / "three", 3)])
    gc.freeze()


def _run(seeds: range, deadline: float) -> tuple[int, Counter[str], list[str]]:
    ran, seen, wrong = 0, Counter[str](), []
    for seed in seeds:
        if time.time() > deadline:
            break
        world = run_history(_starts[seed % len(_starts)], seed, os.getuid())
        ran, seen = ran + 1, seen + world.seen
        if world.wrong:
            wrong.append("\n  ".join([f"{world.wrong[0]} (seed {seed})", *world.log]))
    return ran, seen, wrong


def _tell(ran: int, took_s: float, seen: Counter[str], wrong: list[str]) -> None:
    print(f"{ran} histories in {took_s:.0f} s ({1000 * took_s / max(1, ran):.0f} ms each)")
    for kind, sign in KINDS.items():
        print(f"{kind}: {sum(sign in each.splitlines()[0] for each in wrong)}")
    print(f"histories that went wrong: {len(wrong)}")
    ends = {name: seen[name] for name in sorted(seen) if name.startswith("end ")}
    print(f"ends of stages: {ends}; submitted beside a job that nobody showed: {seen['hidden']}")
    print(f"what happened: {dict(seen.most_common())}")
    for each in wrong[:SHOWN]:
        print(each, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
