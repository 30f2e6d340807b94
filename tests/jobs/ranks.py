"""Runs a script as the ranks of a job, one process each."""

import os
import secrets
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE_S = 200.0


def run_ranks(script: str, world_size: int, folder: Path, *arguments: str) -> None:
    """Runs `SCRIPT TOKEN RANK WORLD_SIZE FOLDER ARGUMENTS` on each rank; all must end well.

    Args:
        script: Path below the tests of jobs.
        world_size: How many ranks.
        folder: Where they write; their logs come there, too.
        arguments: What else they are told.
    """
    command = [sys.executable, str(ROOT / "tests/jobs" / script), f"ranks-{secrets.token_hex(4)}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    names = [f"{'-'.join([*arguments, str(world_size)])}-{rank}.log" for rank in range(world_size)]
    with ExitStack() as stack:
        ranks = []
        for rank, name in enumerate(names):
            log = stack.enter_context((folder / name).open("w"))
            words = [*command, str(rank), str(world_size), str(folder), *arguments]
            process = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
            stack.callback(_end, process)
            ranks.append(process)
        codes = [rank.wait(timeout=PATIENCE_S) for rank in ranks]
    logs = "\n".join((folder / name).read_text()[-2000:] for name in names)
    assert codes == [0] * world_size, logs


def _end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()
