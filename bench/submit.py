"""How long `submit` takes beside raw sbatch calls, and what a `status` costs.

`python -m bench.submit` starts the test cluster, submits the demo's three jobs (held, so that
they do not run) and three raw `sbatch --dependency` calls, in turn, and asks for the status.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from bench.program import ROOT, launcher, seconds, spread
from tests.cluster.slurm_cluster import SlurmCluster

TIMES = 5
HELD = (
    *("--set", "cluster.backend=slurm", "--set", "cluster.nodes=4"),
    *("--set", "cluster.gpus_per_node=8", "--set", "cluster.sbatch.hold=true"),
)
RAW = """
size='-p preempt -N4 --gpus-per-node=8 --ntasks-per-node=1 --hold --parsable --requeue'
parent=$(sbatch $size --wrap true)
for stage in 3 4; do parent=$(sbatch $size --dependency=afterok:$parent --wrap true); done
"""


def main() -> None:
    """Prints the figures."""
    folder = Path(tempfile.mkdtemp(prefix="bench-submit-"))
    with SlurmCluster() as cluster:
        env = os.environ | cluster.env | {"LAUNCHER_RUNS": str(folder / "runs")}
        os.environ.update(cluster.env)
        submit = [sys.executable, "-m", "launcher", "submit", "pipeline.demo.yaml", *HELD]
        ours, raw = [], []
        for _ in range(TIMES):
            ours += seconds(submit, env, 1)
            raw += seconds(["bash", "-c", RAW], env, 1)
        print(f"submit, three stages:       {spread(ours)}")
        print(f"three raw sbatch calls:     {spread(raw)}")
        status = [sys.executable, "-m", "launcher", "status"]
        print(f"status:                     {spread(seconds(status, env, TIMES))}")
        quiet = seconds([*status, "--no-refresh"], env, TIMES)
        print(f"status --no-refresh:        {spread(quiet)}")
        usage = [sys.executable, "-m", "launcher", "--help"]
        print(f"--help:                     {spread(seconds(usage, env, TIMES))}")
        for words in (("status", "--verbose"), ("status", "--no-refresh", "--verbose")):
            told = launcher(*words, runs=folder / "runs").stderr.strip().splitlines()
            print(f"{' '.join(words)}: {told[-1] if told else ''}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    if not (ROOT / "data" / "demo" / "made.json").exists():
        sys.exit("error: data/demo is missing; make it: python -m jobs.data.synthetic data/demo")
    main()
