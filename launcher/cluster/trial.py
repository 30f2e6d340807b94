"""Asks Slurm when it would start a job, without handing it in.

Source: `--test-only` of sbatch(1): the script is checked, and the expected start comes on stderr,
such as `sbatch: Job 17 to start at 2026-07-23T10:00:00 using 32 processors on nodes node[1-4] in
partition preempt`. With SLURM_TIME_FORMAT=%s the moment is in Unix seconds.
"""

import os
import re
import subprocess
import time
from collections.abc import Mapping

from launcher.cluster.base import NoAnswer
from launcher.cluster.parse import complaint

_STARTS = re.compile(r"^sbatch: Job \S+ to start at (\S+) ", re.MULTILINE)


def ask_start(script: str, timeout_s: float, without: Mapping[str, str | None]) -> float | NoAnswer:
    """When Slurm would start this batch script, Unix seconds; or what it said instead.

    Args:
        script: With its `#SBATCH` lines.
        timeout_s: How long to wait for an answer.
        without: Environment variables that sbatch must not see.
    """
    env = {name: value for name, value in os.environ.items() if name not in without}
    try:
        done = subprocess.run(
            ["sbatch", "--test-only"],
            input=script,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            env=env | {"SLURM_TIME_FORMAT": "%s", "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired:
        return NoAnswer(f"sbatch: no answer within {timeout_s:g} s")
    except OSError as error:
        return NoAnswer(f"sbatch: {error.strerror}")
    if done.returncode != 0:
        return NoAnswer(complaint("sbatch", done.stderr) or f"sbatch: exit code {done.returncode}")
    return read_start(done.stderr)


def read_start(said: str) -> float | NoAnswer:
    """The moment in what `sbatch --test-only` printed, Unix seconds."""
    found = _STARTS.search(said)
    if found is None:
        return NoAnswer(complaint("sbatch", said) or "sbatch --test-only: it names no start")
    if found[1].isdigit():
        return float(found[1])
    try:
        return time.mktime(time.strptime(found[1], "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return NoAnswer(f"sbatch --test-only: {found[1]!r} is no moment")
