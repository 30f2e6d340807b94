"""The demo under preemptions, against the demo undisturbed: `python -m bench.goodput`.

Submits `pipeline.demo.yaml`, with `checkpoint: {every: auto}`, to the test cluster, follows it
with `launcher watch`, and lets it come to its end; then once more, while each minute a job of
higher priority takes all nodes for a few seconds (a minute that finds no job of the demo running
waits for the next one). Goodput is the time of steps that survived, without their wait for data,
by the time that the jobs held their nodes; the table tells where the rest went.

Exits 1 where a run does not come to its end, or where steps were lost that a save could have
kept: the attempt was preempted, so told 10 s before its end (the cluster's grace), and a step and
a save of it together take less.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.program import ROOT, launcher
from launcher.accounting.account import Account, account_of
from launcher.accounting.attempt import AttemptSpent
from tests.cluster.slurm_cluster import SlurmCluster

PREEMPTING_S = 3
GRACE_S = 10.0
TRAINED = ("stage2", "stage3")


def main() -> int:
    """Runs both and prints the table; 1 where it does not hold."""
    args = _arguments()
    subprocess.run(
        [sys.executable, "-m", "jobs.data.synthetic", "data/demo"],
        cwd=ROOT,
        check=True,
        timeout=600,
    )
    print(f"load before: {os.getloadavg()[0]:.2f}", flush=True)
    found: dict[str, Account] = {}
    with tempfile.TemporaryDirectory(prefix="bench-goodput-") as folder, SlurmCluster() as cluster:
        os.environ.update(cluster.env)
        for name, every_s in (("undisturbed", None), ("preempted", args.every)):
            runs = Path(folder) / name
            launcher("submit", "pipeline.demo.yaml", *options(args), runs=runs)
            follow(cluster, runs, every_s, args.limit)
            found[name] = account_of(runs)
            told = "done" if found[name].is_done else f"not done after {args.limit:.0f} s"
            print(f"{name}: {told}, {found[name].wall_s:.0f} s", flush=True)
            cluster.run("scancel", "--user=root")
            cluster.wait_until_idle()
    print_table(found)
    print(f"load after: {os.getloadavg()[0]:.2f}")
    return judge(found)


def options(args: argparse.Namespace) -> list[str]:
    """What is different from the pipeline file."""
    values = {
        "cluster.backend": "slurm",
        "cluster.partition": "preempt",
        "cluster.nodes": args.nodes,
        "cluster.gpus_per_node": 8,
    }
    for stage in TRAINED:
        values[f"stages.{stage}.train.checkpoint.every"] = "auto"
        if args.steps:
            values[f"stages.{stage}.train.max_steps"] = args.steps
    return [word for name, value in values.items() for word in ("--set", f"{name}={value}")]


def follow(
    cluster: SlurmCluster,
    runs: Path,
    every_s: float | None,
    limit_s: float,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Makes passes as cron does, until the run ends; preempts it meanwhile."""
    command = [sys.executable, "-m", "launcher", "watch", "--every", "2", "--quiet"]
    env = os.environ | {"LAUNCHER_RUNS": str(runs)}
    ends_at = time.monotonic() + limit_s
    due_at = time.monotonic() + (every_s or limit_s)
    with (runs / "watch.log").open("w", encoding="utf-8") as log:
        watch = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
        while watch.poll() is None and time.monotonic() < ends_at:
            if every_s and time.monotonic() >= due_at and _runs_now(cluster):
                cluster.preempt(PREEMPTING_S)
                due_at += every_s
            meanwhile()
            time.sleep(0.2)
        watch.terminate()
        watch.wait(timeout=60)


def _runs_now(cluster: SlurmCluster) -> bool:
    ask = ("squeue", "-h", "-p", "preempt", "-t", "running", "-o", "%i")
    return bool(cluster.run(*ask).split())


ROWS: tuple[tuple[str, Callable[[Account], str]], ...] = (
    ("wall-clock", lambda run: f"{run.wall_s:.0f} s"),
    ("preemptions", lambda run: str(run.preemptions)),
    ("attempts", lambda run: str(len(run.attempts))),
    ("steps lost", lambda run: str(run.lost_steps)),
    ("queue, between jobs", lambda run: f"{run.queued:.0f} s"),
    ("allocated", lambda run: f"{run.spent.allocated:.0f} s"),
    ("  surviving steps", lambda run: _part(run, run.spent.steps)),
    ("  wait for data", lambda run: _part(run, run.spent.data)),
    ("  lost steps", lambda run: _part(run, run.spent.lost)),
    ("  start", lambda run: _part(run, run.spent.start)),
    ("  saves", lambda run: _part(run, run.spent.saves)),
    ("  end, after its save", lambda run: _part(run, run.spent.end)),
    ("  other", lambda run: _part(run, run.spent.other)),
    ("goodput", lambda run: f"{run.spent.goodput:.3f}"),
)


def _part(run: Account, seconds: float) -> str:
    return f"{seconds:.1f} s {seconds / (run.spent.allocated or 1):6.1%}"


def print_table(found: dict[str, Account]) -> None:
    """A column for each run; then a line for each attempt."""
    print(f"{'':22}" + "".join(f"{name:>18}" for name in found))
    for name, tell in ROWS:
        print(f"{name:22}" + "".join(f"{tell(run):>18}" for run in found.values()))
    for name, run in found.items():
        for each in run.attempts:
            spent, end = each.spent, "preempted" if each.was_preempted else "ended"
            print(
                f"{name}: {each.stage} held {spent.allocated:.0f} s: start {spent.start:.1f}, "
                f"steps {spent.steps:.1f}, end {spent.end:.1f}; {each.lost_steps} lost, {end}"
            )
    if len(found) > 1:
        calm, other = found.values()
        print(f"goodput {other.spent.goodput:.3f} of {calm.spent.goodput:.3f} undisturbed; "
              f"wall-clock {other.wall_s / calm.wall_s:.2f} of it")  # fmt: skip


def judge(found: dict[str, Account]) -> int:
    """1 where a run is not done, or lost what it need not have lost; says which."""
    wrong = [f"{name}: not done" for name, run in found.items() if not run.is_done]
    wrong += [
        f"{name}: {each.stage} lost {each.lost_steps} steps that a save could have kept"
        for name, run in found.items()
        for each in run.attempts
        if need_not_have_lost(each)
    ]
    good = "all runs are done, and none lost a step that a save could have kept"
    print("\n".join(wrong) or good)
    return 1 if wrong else 0


def need_not_have_lost(each: AttemptSpent) -> bool:
    """Whether it lost steps though the grace was long enough for a step and a save."""
    needed_s = (each.step_s or 0.0) + each.save_s
    return each.was_preempted and each.lost_steps > 0 and needed_s < GRACE_S


def _arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.goodput",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--every", type=float, default=60, help="seconds between two preemptions")
    parser.add_argument("--nodes", type=int, default=4, choices=range(1, 5))
    parser.add_argument("--steps", type=int, help="of each training stage; default: the demo's")
    parser.add_argument("--limit", type=float, default=3600, help="seconds of a run")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
