"""Fifty launchers killed at any line, on a Slurm on paper; `bench.crashes` does a thousand."""

import random
from pathlib import Path

from bench.crashes import crash


def test_launchers_killed_anywhere_leave_no_job_twice_and_none_unknown(tmp_path: Path) -> None:
    tally = crash(tmp_path, 50, random.Random(3))

    assert tally.good, tally
    assert tally.crashes >= 50
