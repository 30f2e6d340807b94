"""The demo on this machine, without Slurm."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, SHORT, Program

DONE = {"stage1": "reused", "stage2": "done", "stage3": "done", "evaluation": "done"}

pytestmark = pytest.mark.usefixtures("demo_data")


@pytest.mark.slow
def test_demo_runs_all_stages_and_shows_status_and_accuracy(program: Program):
    done = program("submit", "pipeline.demo.yaml", *SHORT)

    assert done.returncode == 0, done.stderr
    assert {row["stage"]: row["state"] for row in program.status()} == DONE
    assert "majority" in done.stdout
    assert "direction" in done.stdout
    stage3 = next(row for row in program.status() if row["stage"] == "stage3")
    assert (stage3["step"], stage3["total_steps"], stage3["steps_lost"]) == (3, 3, 0)
    assert Path(stage3["checkpoint"]["path"], "weights.safetensors").is_file()
    assert stage3["wall_clock_s"] > 0


@pytest.mark.slow
def test_interrupted_demo_says_how_to_go_on_and_goes_on_from_its_checkpoint(program: Program):
    long = ("--set", "stages.stage2.train.max_steps=40", *SHORT[2:])
    running = subprocess.Popen(
        [sys.executable, "-m", "launcher", "submit", "pipeline.demo.yaml", *long],
        cwd=ROOT,
        env={**os.environ, "LAUNCHER_RUNS": str(program.runs)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _wait_for_step(program.runs, "stage2")

    running.send_signal(signal.SIGINT)
    _, talk = running.communicate(timeout=120)

    assert running.returncode == 130, talk
    run_id = next(path.name for path in program.runs.iterdir() if path.is_dir())
    assert f"launcher watch {run_id}" in talk
    stopped = next(row for row in program.status() if row["stage"] == "stage2")
    assert stopped["state"] == "interrupted"
    assert 0 < stopped["step"] < 40
    assert stopped["steps_lost"] == 0
    went_on = program("watch", run_id)
    assert went_on.returncode == 0, went_on.stderr
    rows = {row["stage"]: row for row in program.status()}
    assert {name: row["state"] for name, row in rows.items()} == DONE
    assert (rows["stage2"]["attempts"], rows["stage2"]["step"]) == (2, 40)


def _wait_for_step(runs: Path, stage: str, limit_s: float = 120) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        events = list(runs.glob(f"*/stages/{stage}/events/*.jsonl"))
        if any('"kind": "step"' in path.read_text() for path in events):
            return
        time.sleep(0.2)
    pytest.fail(f"no step of {stage} within {limit_s} s")
