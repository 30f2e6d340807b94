"""The test cluster by hand: `python -m tests.cluster up | status | down`.

Prints what to type to standard output. Exit code 0 when done, 1 when not; `status` gives 1 when
no cluster runs.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests.cluster.errors import SlurmClusterError
from tests.cluster.folder import is_running, remove_cluster
from tests.cluster.slurm_cluster import SlurmCluster

DEFAULT_FOLDER = Path(__file__).resolve().parents[2] / ".cluster"


def up(folder: Path) -> int:
    """Start the cluster, and leave it running."""
    if is_running(folder):
        print(f"The cluster runs already.\n{_usage(folder)}")
        return 0
    SlurmCluster(folder).start()
    print(f"4 nodes x 8 GPUs are idle.\n{_usage(folder)}")
    return 0


def _usage(folder: Path) -> str:
    given = "" if folder == DEFAULT_FOLDER else f" --dir {folder}"
    return f"""\
  export SLURM_CONF={folder.resolve()}/slurm.conf
partitions: preempt (the default, requeues), preemptcancel (cancels), high (preempts both)
try: sinfo, squeue, sacct; stop it with: python -m tests.cluster down{given}"""


def status(folder: Path) -> int:
    """Show the nodes and the jobs."""
    if not is_running(folder):
        print("No cluster runs; start it with: python -m tests.cluster up")
        return 1
    print(_usage(folder), flush=True)
    env = {**os.environ, "SLURM_CONF": str(folder.resolve() / "slurm.conf")}
    asked = [subprocess.run([ask], env=env, timeout=60, check=False) for ask in ("sinfo", "squeue")]
    return 1 if any(done.returncode for done in asked) else 0


def down(folder: Path) -> int:
    """Stop the cluster and its jobs."""
    if folder.exists() and not (folder / "slurm.conf").exists():
        raise SlurmClusterError(f"{folder}: no cluster's folder; left alone")
    was_there = folder.exists()
    remove_cluster(folder)
    print("The cluster is stopped." if was_there else "No cluster runs.")
    return 0


def main(argv: list[str] | None = None) -> int:
    """Parse, do, and give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("act", choices=("up", "status", "down"))
    parser.add_argument("--dir", type=Path, default=DEFAULT_FOLDER, help="default: .cluster")
    arguments = parser.parse_args(argv)
    act = {"up": up, "status": status, "down": down}[arguments.act]
    try:
        return act(arguments.dir)
    except (SlurmClusterError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
