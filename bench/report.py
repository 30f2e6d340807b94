"""Time and peak memory of `launcher report`: `python -m bench.report`.

Makes up a run of 3 attempts and one of 300 with 10^5 step events (about 30 days of training on 32
GPUs), writes the page of each in a process of its own, and prints wall-clock, peak memory and size.
Exits 1 where a page is over 2 MB.
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.program import ROOT
from tests.launcher.report.eventful import eventful

MOST_BYTES = 2_000_000
RUNS = {"3 attempts": (2, 300, 5), "300 attempts, 10^5 events": (299, 325_000, 5)}
"""Interrupted attempts of the training stages, steps of the first, steps between two events."""


@dataclass(frozen=True)
class Measured:
    """One page.

    Attributes:
        wall_s: From the start of the process to its end.
        peak_mb: The most memory that it held.
        bytes: Size of the page.
    """

    wall_s: float
    peak_mb: float
    bytes: int


def main() -> int:
    """Measures both and prints a line each."""
    print(f"load before: {os.getloadavg()[0]:.2f}", flush=True)
    too_large = False
    for name, (attempts, steps, told_every) in RUNS.items():
        with tempfile.TemporaryDirectory(prefix="bench-report-") as folder:
            runs = Path(folder)
            eventful(runs, attempts=attempts, steps=steps, told_every=told_every)
            events = sum(
                path.read_text().count('"kind": "step"')
                for path in runs.glob("made/stages/*/events/*.jsonl")
            )
            for what in ([], ["--json"]):
                found = measure(runs, what)
                too_large |= found.bytes > MOST_BYTES
                print(
                    f"{name}, {events} step events{', --json' if what else ''}: "
                    f"{found.wall_s:.2f} s, {found.peak_mb:.0f} MB, {found.bytes / 1000:.0f} kB",
                    flush=True,
                )
    print(f"load after: {os.getloadavg()[0]:.2f}")
    return 1 if too_large else 0


def measure(runs: Path, what: list[str]) -> Measured:
    """One report."""
    command = [sys.executable, "-m", "launcher", "report", "-q", "--runs", str(runs), *what]
    page = runs / "page"
    began = time.monotonic()
    with page.open("wb") as out:
        child = subprocess.Popen([*command, *([] if what else ["-o", "-"])], cwd=ROOT, stdout=out)
        _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"launcher report ended with {child.returncode}")
    return Measured(time.monotonic() - began, used.ru_maxrss / 1024, page.stat().st_size)


if __name__ == "__main__":
    sys.exit(main())
