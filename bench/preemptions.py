"""The same preemptions for this launcher, plain submitit, and a program that saves each epoch.

`python -m bench.preemptions` lets each of them count 300 steps of 0.1 s, on the test cluster, in
both kinds of preemptible partition, preempted at the same moments. A shell loop that requeues
itself and has no start-up of its own shows what of the delay is Slurm's.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import submitit

from bench.counting import Counter, Counting
from bench.program import ROOT
from launcher.pipeline import load_pipeline
from tests.cluster.slurm_cluster import SlurmCluster

STEPS, STEP_S, SAVE_EVERY, EPOCH = 300, 0.1, 100, 150
PREEMPTED_AT_S = (8.0, 28.0)
"""After the first step."""
PREEMPTING_S = 3
LIMIT_S = 120.0
PIPELINE = """\
name: counting
model: {preset: tiny}
cluster: {backend: slurm, partition: PARTITION, nodes: 1, gpus_per_node: 8, tasks_per_node: 1,
          time_limit: 1h}
stages:
  count:
    command:
      argv: ARGV
      layout: task
      checkpoints: {glob: "FOLDER/save-*", step_regex: 'save-(\\d+)', every_s: 1}
"""
LOOP = """#!/bin/bash
#SBATCH --requeue
srun --wait=1 bash -c '
step=$(cat FOLDER/step 2>/dev/null || echo 0)
trap "scontrol requeue $SLURM_JOB_ID; exit 75" TERM
while [ $step -lt STEPS ]; do sleep STEP_S; step=$((step + 1)); echo $step > FOLDER/step
echo $step >> FOLDER/executed; done; touch FOLDER/save-STEPS'
"""
EACH_EPOCH = """#!/bin/bash
#SBATCH --requeue
export PYTHONPATH=ROOT
srun bash -c 'trap "" TERM; exec INTERPRETER -m bench.counting FOLDER STEPS STEP_S EPOCH'
"""
"""SIGTERM is ignored: it would kill the program, and 22.05 requeues no job that ends by itself."""


@dataclass(frozen=True)
class Result:
    """How a way of running it went.

    Attributes:
        wall_s: From the submission to the last step; None: it never came.
        executed: Steps that were executed.
        saved: Steps that are safe at the end.
        preemptions: Times it was preempted.
    """

    wall_s: float | None
    executed: int
    saved: int
    preemptions: int


Start = Callable[[SlurmCluster, Path, str], None]


def main() -> None:
    """Prints one line for each way (of those named on the command line) and partition."""
    chosen = {name: WAYS[name] for name in sys.argv[1:] or WAYS}
    root = Path(tempfile.mkdtemp(prefix="bench-preemptions-"))
    with SlurmCluster() as cluster:
        os.environ.update(cluster.env)
        os.environ["LAUNCHER_RUNS"] = str(root / "runs")
        for name, start in chosen.items():
            slug = name.replace(" ", "-")
            calm = run(cluster, root / f"{slug}-calm", start, "preempt", ())
            print(f"{name}: undisturbed {calm.wall_s or 0:.1f} s", flush=True)
            for partition in ("preempt", "preemptcancel"):
                found = run(cluster, root / f"{slug}-{partition}", start, partition, PREEMPTED_AT_S)
                print(f"  {partition:13} {told(found, calm)}", flush=True)
                cluster.run("scancel", "--user=root")
                cluster.wait_until_idle()
    shutil.rmtree(root)


def told(found: Result, calm: Result) -> str:
    """A result in words."""
    share = f"{found.executed} steps executed for {STEPS} ({found.executed / STEPS - 1:+.1%})"
    if found.wall_s is None or calm.wall_s is None:
        return f"not done after {LIMIT_S:.0f} s ({found.saved} saved); {found.executed} executed"
    over = (found.wall_s - calm.wall_s) / found.preemptions
    ratio = found.wall_s / calm.wall_s
    took = f"{found.wall_s:.1f} s, {ratio:.2f} of undisturbed: {over:.1f} s a preemption"
    return f"{found.preemptions} preemptions: {share}; {took}"


def run(
    cluster: SlurmCluster, folder: Path, start: Start, partition: str, moments: tuple[float, ...]
) -> Result:
    """One way, preempted at these moments after its first step."""
    folder.mkdir(parents=True)
    began = time.monotonic()
    start(cluster, folder, partition)
    wait((folder / "executed").exists, LIMIT_S)
    first = time.monotonic()
    due = list(moments)

    def is_done() -> bool:
        if due and time.monotonic() - first >= due[0]:
            due.pop(0)
            cluster.preempt(PREEMPTING_S)
        return (folder / f"save-{STEPS}").exists()

    done = wait(is_done, LIMIT_S)
    wall_s = time.monotonic() - began if done else None
    executed = len((folder / "executed").read_text().splitlines())
    saved = Counter(folder, 0, 0, 1).saved()
    return Result(wall_s, executed, saved, len(moments) - len(due))


def wait(condition: Callable[[], bool], limit_s: float) -> bool:
    """Whether it came to be in time."""
    give_up = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.1)
    return True


def start_launcher(_: SlurmCluster, folder: Path, partition: str) -> None:
    """Through the launcher, with its passes."""
    argv = [sys.executable, str(ROOT / "bench" / "counting.py"), str(folder)]
    argv += [str(STEPS), str(STEP_S), str(SAVE_EVERY), "--heeds"]
    text = PIPELINE.replace("PARTITION", partition).replace("ARGV", str(argv))
    path = folder / "pipeline.yaml"
    path.write_text(text.replace("FOLDER", str(folder)))
    load_pipeline(path)  # its faults, if it has any, come from here
    launcher = [sys.executable, "-m", "launcher"]
    subprocess.run([*launcher, "submit", str(path)], cwd=ROOT, check=True, timeout=120)
    # What cron does each minute, more often; it ends with the run.
    follow = [*launcher, "watch", "--every", "2", "--quiet"]
    with (folder / "watch.log").open("w") as log:
        WATCHERS.append(subprocess.Popen(follow, cwd=ROOT, stdout=log, stderr=log))


def start_submitit(_: SlurmCluster, folder: Path, partition: str) -> None:
    """Plain submitit with its Checkpointable."""
    executor = submitit.SlurmExecutor(folder / "submitit")
    executor.update_parameters(
        partition=partition, nodes=1, gpus_per_node=8, time=60, setup=[f"export PYTHONPATH={ROOT}"]
    )
    executor.submit(Counting(), Counter(folder, STEPS, STEP_S, SAVE_EVERY))


def start_epoch(cluster: SlurmCluster, folder: Path, partition: str) -> None:
    """A batch script whose program saves at the end of each epoch only."""
    submit_script(cluster, folder, partition, EACH_EPOCH)


def start_loop(cluster: SlurmCluster, folder: Path, partition: str) -> None:
    """A shell loop that requeues itself: what Slurm alone costs."""
    submit_script(cluster, folder, partition, LOOP)


def submit_script(cluster: SlurmCluster, folder: Path, partition: str, text: str) -> None:
    """Hands a batch script in."""
    values = {"FOLDER": folder, "STEPS": STEPS, "STEP_S": STEP_S, "EPOCH": EPOCH}
    for name, value in {**values, "ROOT": ROOT, "INTERPRETER": sys.executable}.items():
        text = text.replace(name, str(value))
    path = folder / "job.sh"
    path.write_text(text)
    cluster.submit(f"-p{partition}", "-N1", "--gpus-per-node=8", "-o/dev/null", str(path))


WATCHERS: list[subprocess.Popen[bytes]] = []
WAYS: dict[str, Start] = {
    "this launcher": start_launcher,
    "shell loop": start_loop,
    "submitit Checkpointable": start_submitit,
    "each epoch": start_epoch,
}

if __name__ == "__main__":
    main()
    for watcher in WATCHERS:
        watcher.wait(timeout=60)
