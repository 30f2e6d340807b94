"""Runs the launcher as its users do, and takes the time."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]


def launcher(*args: str, runs: Path, timeout_s: float = 1800) -> subprocess.CompletedProcess[str]:
    """Runs `python -m launcher` to its end; ends the program where it fails."""
    command = [sys.executable, "-m", "launcher", *args]
    env = os.environ | {"LAUNCHER_RUNS": str(runs)}
    done = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def seconds(command: Sequence[str], env: Mapping[str, str], times: int) -> list[float]:
    """Wall-clock of a whole process, several times, in seconds."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run(
            command, cwd=ROOT, env=env, check=True, timeout=300, stdout=subprocess.DEVNULL
        )
        taken.append(time.perf_counter() - began)
    return taken


def spread(taken: Sequence[float]) -> str:
    """`median (smallest to largest)` in seconds."""
    return f"{median(taken):.2f} s ({min(taken):.2f} to {max(taken):.2f}, n={len(taken)})"
