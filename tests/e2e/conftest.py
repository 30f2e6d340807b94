"""The program as its users run it: another process, the shipped weights, real clips."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.locking import one_at_a_time

ROOT = Path(__file__).parents[2]
# A few steps of the demo: enough to see every stage work.
SHORT = (
    *("--set", "stages.stage2.train.max_steps=3"),
    *("--set", "stages.stage3.train.max_steps=3"),
    *("--set", "stages.evaluation.evaluate.limit=16"),
)


@dataclass(frozen=True)
class Program:
    """`python -m launcher` with a runs folder of its own."""

    runs: Path

    def __call__(self, *args: str, timeout_s: float = 900) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "launcher", *args],
            cwd=ROOT,
            env=os.environ | {"LAUNCHER_RUNS": str(self.runs)},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def status(self) -> list[dict[str, Any]]:
        """The stages of the newest run as `status --json` prints them."""
        done = self("status", "--json")
        assert done.returncode == 0, done.stderr
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows


@pytest.fixture(scope="session")
def demo_data() -> None:
    """The clips of pipeline.demo.yaml, where `make demo` puts them."""
    command = [sys.executable, "-m", "jobs.data.synthetic", "data/demo"]
    with one_at_a_time(ROOT / "data" / "demo"):
        subprocess.run(command, cwd=ROOT, check=True, timeout=300)


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path / "runs")


@pytest.fixture
def finished() -> Callable[[list[dict[str, Any]]], dict[str, str]]:
    """Stage states by name."""
    return lambda rows: {row["stage"]: row["state"] for row in rows}
