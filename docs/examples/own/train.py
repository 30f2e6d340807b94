"""Stands for your training script: it counts, saves, resumes, and stops when it is told to.

It knows nothing of the launcher: all that it needs stands on its command line.
"""

import argparse
import json
import signal
import sys
import time
from pathlib import Path


def save(output: Path, step: int) -> None:
    """Saves a checkpoint; `state.json` comes last, so a folder that holds it is whole."""
    folder = output / f"step-{step}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.txt").write_text("1 2 3\n")
    (folder / "state.json.part").write_text(json.dumps({"step": step}))
    (folder / "state.json.part").rename(folder / "state.json")


def main() -> int:
    """Counts from 0, or from the checkpoint that it is given."""
    options = argparse.ArgumentParser()
    options.add_argument("--output", type=Path, required=True)
    options.add_argument("--resume", type=Path)
    options.add_argument("--steps", type=int, default=100)
    given = options.parse_args()

    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    step = json.loads((given.resume / "state.json").read_text())["step"] if given.resume else 0
    while step < given.steps and not asked:
        time.sleep(0.1)  # a step
        step += 1
        print(f"step {step}/{given.steps} loss {1 / step:.4f}", flush=True)
        if step % 20 == 0:
            save(given.output, step)
    save(given.output, step)
    return 0


if __name__ == "__main__":
    sys.exit(main())
