"""What a look at a large ledger costs: `python -m bench.large_ledger`.

Makes ledgers of 10 and of 10,000 stage runs (runs of 3 or 4 stages; attempts that end by
preemptions, time limits, failing nodes and failures; checkpoints; events; a month of passes), then
times the launcher's commands on them as whole processes, and takes their peak memory. The newest
run goes on: a stand-in for squeue shows its job, so that `status` goes all the way, Slurm's own
time aside. `--stages N --attempts M` makes another size, `--only FOLDER` makes one and keeps it.
"""

import argparse
import json
import os
import random
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench.ledger_rows import make_rows
from db.engine import ledger_url
from db.ledger import Ledger
from db.queries import newest_run
from launcher.cluster import parse

SIZES = ((10, 30), (10_000, 30_000))
TIMES = 5
WAITER = """
import os, sys, time
began = time.perf_counter()
nowhere = os.open(os.devnull, os.O_WRONLY)
out = [(os.POSIX_SPAWN_DUP2, nowhere, 1)]
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=out)
_, status, used = os.wait4(pid, 0)
print(time.perf_counter() - began, used.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""A small process between: Linux counts the memory of who starts a program as the program's."""


def main() -> int:
    """Makes the ledgers and prints the table."""
    args = _arguments()
    sizes = [(args.stages, args.attempts)] if args.stages else SIZES
    if args.only:
        took_s = make_ledger(args.only, *sizes[-1])
        print(f"{args.only}/ledger.db: {sizes[-1][0]} stage runs, made in {took_s:.1f} s")
        return 0
    print(f"load before: {os.getloadavg()[0]:.2f}")
    print(
        f"{'stage runs':>10} {'attempts':>9}  {'command':28} {'median':>8} {'most':>8} {'peak':>8}"
    )
    for stages, attempts in sizes:
        with tempfile.TemporaryDirectory(prefix="bench-ledger-") as folder:
            took_s = make_ledger(Path(folder) / "runs", stages, attempts)
            measure(Path(folder), stages, attempts, args.times)
            size = (Path(folder) / "runs" / "ledger.db").stat().st_size / 1e6
            print(f"made in {took_s:.1f} s, {size:.1f} MB", flush=True)
    print(f"load after: {os.getloadavg()[0]:.2f}")
    return 0


def make_ledger(runs: Path, stages: int, attempts: int) -> float:
    """Makes a ledger in a folder of runs; gives the seconds that took."""
    began = time.perf_counter()
    ledger = Ledger.open(ledger_url(runs.absolute(), {}), create=True)
    rows = make_rows(runs.absolute(), stages, attempts, random.Random(1), now=time.time())
    with ledger.write() as session:
        for table, values in rows.items():
            session.connection().execute(table.insert(), values)
    return time.perf_counter() - began


def measure(folder: Path, stages: int, attempts: int, times: int) -> None:
    """Prints a line a command."""
    runs = folder / "runs"
    env = os.environ | {"LAUNCHER_RUNS": str(runs), "PATH": _programs(folder)}
    env.pop("LAUNCHER_LEDGER", None)
    for words in commands(runs):
        taken = [spent([sys.executable, "-m", "launcher", *words], env) for _ in range(times + 1)]
        seconds, peaks = zip(*taken[1:], strict=True)  # the first one fills the disk's cache
        shown = " ".join(words).replace(str(runs), "RUNS")
        print(
            f"{stages:10} {attempts:9}  {shown:28} {median(seconds):6.2f} s {max(seconds):6.2f} s "
            f"{max(peaks):5.0f} MB",
            flush=True,
        )


def commands(runs: Path) -> list[list[str]]:
    """What is measured."""
    found = [
        ["--help"],
        ["status"],
        ["status", "--no-refresh"],
        ["status", "--all"],
        ["history"],
        ["events"],
        ["plan", "pipeline.yaml"],
    ]
    with Ledger.open(ledger_url(runs, {}), create=False).read() as session:
        run = newest_run(session)
    found.append(["report", run.id if run else "", "-o", str(runs / "report.html")])
    return found


def spent(command: Sequence[str], env: dict[str, str]) -> tuple[float, float]:
    """Wall-clock seconds and peak memory (MB, of 10^6 bytes) of a process."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", WAITER, *command],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{shlex.join(command)}: {done.stderr}")
    took, peak_kb = done.stdout.split()
    return float(took), int(peak_kb) * 1024 / 1e6


def _programs(folder: Path) -> str:
    """A PATH whose squeue shows the newest run's job as running, and whose sacct knows nothing."""
    bin_ = folder / "bin"
    bin_.mkdir()
    live = json.loads((folder / "runs" / "live.json").read_text())
    for program, text in (("squeue", _queue_line(live)), ("sacct", "")):
        path = bin_ / program
        path.write_text(f"#!/bin/sh\nprintf '%s' {shlex.quote(text)}\n")
        path.chmod(0o755)
    return f"{bin_}:{os.environ['PATH']}"


def _queue_line(live: dict[str, object]) -> str:
    """What squeue prints of a running job."""
    at = str(int(float(str(live["started_at"]))))
    fields = [live["slurm_id"], live["name"], "RUNNING", "None", live["restart"]]
    fields += [at, at, at, "N/A", "0", "node[001-004]", "4"]
    return "".join(f"{each}{parse.SEPARATOR}" for each in fields) + "\n"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.large_ledger",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--stages", type=int, help="stage runs of one ledger instead of both sizes")
    parser.add_argument("--attempts", type=int, default=30_000)
    parser.add_argument("--times", type=int, default=TIMES)
    parser.add_argument(
        "--only", type=Path, metavar="FOLDER", help="make it there, measure nothing"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
