"""Whether the demo learns, whatever the seed: `python -m bench.learning --seeds 1 2 3`.

Runs pipeline.demo.yaml once a seed (of data order, augmentation and first weights) and prints
the held-out accuracy beside the majority baseline. Exits 1 if a direction or colour is
below 0.80.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from bench.program import launcher

WANTED = 0.80
ASKED = ("direction", "colour")


def main() -> int:
    """Prints a line a seed; 1 where one of them did not learn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    worst = 1.0
    for seed in parser.parse_args().seeds:
        runs = Path(tempfile.mkdtemp(prefix="bench-learning-"))
        began = time.monotonic()
        seeds = [f"stages.{stage}.train.seed={seed}" for stage in ("stage2", "stage3")]
        options = [word for one in seeds for word in ("--set", one)]
        done = launcher("submit", "pipeline.demo.yaml", *options, "--json", runs=runs)
        found = json.loads(done.stdout)["metrics"]["evaluation"]
        told = ", ".join(f"{m['name']} {m['value']:.3f} ({m['majority']:.3f})" for m in found)
        print(f"seed {seed}: {told}; {time.monotonic() - began:.0f} s", flush=True)
        worst = min(worst, *(m["value"] for m in found if m["name"] in ASKED))
        shutil.rmtree(runs)
    print(f"worst of {' and '.join(ASKED)}: {worst:.3f}, wanted {WANTED}")
    return 0 if worst >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
