"""Simulated against observed: a pipeline on the test cluster, preempted at fixed moments.

`python -m bench.foresight` submits two stages that count, one after the other, and preempts each
twice: the first saves when it is told to stop, the second is killed and loses what it had not
saved. Then the simulation of `launcher plan` gets what the ledger and the event files tell of
steps, starts and waits, with the moments of the interruptions. Exits 1 where its end is more than
15 % off. `--trace FILE` keeps what was observed.

Then it times the simulation: 10,000 GPUs, 54 days, the failures of Llama 3, 1,000 runs.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from bench.goodput import follow
from bench.program import ROOT, launcher
from bench.replay import SeenAttempt, SeenStage, Trace, read_trace, simulated_s, write_trace
from db.engine import ledger_url
from db.ledger import Ledger
from db.queries import newest_run, stages_of
from db.schema import Attempt, StageRun
from jobs.contract.events import read_events
from jobs.contract.paths import AttemptKey, RunFolder
from launcher.foresee import PRESETS, PlacedStage, Rates, StageModel, foresee
from tests.cluster.slurm_cluster import SlurmCluster

ALLOWED = 0.15
STEPS, STEP_S = 400, 0.1
SAVE_EVERY = {"heeding": 100, "killed": 60}
PREEMPTED_AT_S = (9.0, 34.0)
"""After a stage's first step."""
PREEMPTING_S = 3
LIMIT_S = 400.0
DAY_S = 86_400.0
PIPELINE = """\
name: foresight
cluster: {backend: slurm, partition: preempt, nodes: 1, gpus_per_node: 8, tasks_per_node: 1,
          time_limit: 1h}
stages:
"""
STAGE = """\
  NAME:
    needs: [NEEDS]
    command:
      argv: ARGV
      layout: task
      checkpoints: {glob: "FOLDER/save-*", step_regex: 'save-(\\d+)', every_s: 1}
      progress: {match: ['step (?P<step>\\d+) of (?P<total>\\d+)'], every_s: 0.5}
"""


def main() -> int:
    """Prints both ends, and how long the simulation takes; 1 where they are too far apart."""
    args = _arguments()
    trace = read_trace(args.replay) if args.replay else record()
    if args.trace:
        write_trace(args.trace, trace)
    told_s, seen_s = simulated_s(trace), trace.end_s
    off = told_s / seen_s - 1
    for stage in trace.stages:
        for each in stage.attempts:
            print(f"{stage.name}: {each}")
    print(f"simulated {told_s:.1f} s, observed {seen_s:.1f} s: {off:+.1%}")
    print(speed())
    return 1 if abs(off) > ALLOWED else 0


def speed() -> str:
    """Simulates a large training, and says how long that took."""
    rate = PRESETS["llama3"].per_node_day * 10_000 / 8 / DAY_S
    model = StageModel(
        work_s=54 * DAY_S, save_s=60, interval_s=1800, start_s=600, wait_s=300, slice_s=7 * DAY_S
    )
    stage = PlacedStage(name="training", model=model, rates=Rates(rate, 4 / DAY_S), gpus=10_000)
    began = time.perf_counter()
    found = foresee([stage], runs=1000, seed=1)
    took_s = time.perf_counter() - began
    return (
        f"10,000 GPUs, 54 days, 1,000 runs in {took_s:.1f} s: {found.spent.interruptions:.0f} "
        f"interruptions a run, p50 {found.p50_s / DAY_S:.1f} days, goodput {found.goodput:.3f}"
    )


def record() -> Trace:
    """Runs the pipeline on the test cluster, and reads what became of it."""
    with tempfile.TemporaryDirectory(prefix="bench-foresight-") as name, SlurmCluster() as cluster:
        os.environ.update(cluster.env)
        folder = Path(name)
        runs = folder / "runs"
        launcher("submit", str(write_pipeline(folder)), runs=runs)
        preempting = Preempting(cluster, folder)
        follow(cluster, runs, None, LIMIT_S, meanwhile=preempting.look)
        return observed(runs)


class Preempting:
    """Preempts each stage at its moments, once it counts."""

    def __init__(self, cluster: SlurmCluster, folder: Path) -> None:
        self._cluster, self._folder = cluster, folder
        self._due = {name: list(PREEMPTED_AT_S) for name in SAVE_EVERY}
        self._first: dict[str, float] = {}

    def look(self) -> None:
        """Preempts what is due now."""
        for name, due in self._due.items():
            if not (self._folder / name / "executed").exists():
                continue
            first = self._first.setdefault(name, time.monotonic())
            if due and time.monotonic() - first >= due[0]:
                due.pop(0)
                self._cluster.preempt(PREEMPTING_S)


def write_pipeline(folder: Path) -> Path:
    """The pipeline file of both stages."""
    text, needs = PIPELINE, ""
    for name, every in SAVE_EVERY.items():
        place = folder / name
        place.mkdir()
        argv = [sys.executable, str(ROOT / "bench" / "counting.py"), str(place)]
        argv += [str(STEPS), str(STEP_S), str(every), "--tells"]
        argv += ["--heeds"] if name == "heeding" else []
        stage = STAGE.replace("NAME", name).replace("NEEDS", needs).replace("ARGV", str(argv))
        text, needs = text + stage.replace("FOLDER", str(place)), name
    path = folder / "pipeline.yaml"
    path.write_text(text)
    return path


def observed(runs: Path) -> Trace:
    """Reads the newest run of a folder of runs."""
    with Ledger.open(ledger_url(runs, {}), create=False).read() as session:
        run = newest_run(session)
        if run is None:
            raise ValueError(f"{runs}: its ledger has no run")
        stages = stages_of(session, run.id)
        return Trace(tuple(seen_stage(stage, run.created_at, Path(run.folder)) for stage in stages))


def seen_stage(row: StageRun, zero: float, folder: Path) -> SeenStage:
    """A stage, as its ledger rows and its event files have it."""
    held = [attempt for attempt in row.attempts if attempt.started_at is not None]
    seen = [seen_attempt(each, zero, RunFolder(folder), row.stage) for each in held]
    heeds = row.stage == "heeding"
    kept = tuple(each for each in seen if each is not None)
    return SeenStage(row.stage, tuple(row.needs), STEPS, SAVE_EVERY[row.stage], heeds, kept)


def seen_attempt(row: Attempt, zero: float, folder: RunFolder, stage: str) -> SeenAttempt | None:
    """An attempt; None: it made no step."""
    key = AttemptKey(row.slurm_id, row.restart)
    told = list(read_events(folder.stage(stage).events_file(key)))
    steps = [event for event in told if event.kind == "step"]
    if not steps:
        return None
    ready = next(event for event in told if event.kind == "started")
    signal = next((event.at - zero for event in told if event.kind == "signal"), None)
    return SeenAttempt(
        began_s=(row.started_at or zero) - zero,
        ready_s=ready.at - zero,
        signal_s=signal,
        last_s=steps[-1].at - zero,
        first=ready.fields["resume_step"],
        last=steps[-1].fields["step"],
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.foresight",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--trace", type=Path, help="keep what was observed in this file")
    parser.add_argument("--replay", type=Path, help="take what was observed from this file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
