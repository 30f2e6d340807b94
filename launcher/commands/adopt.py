"""`launcher adopt`: takes over a job that runs already."""

import argparse
import time

from launcher.acting import WAIT_S, acting
from launcher.adopt import adopt
from launcher.cluster import open_cluster
from launcher.commands.arguments import add_run_arguments
from launcher.reconcile.refresh import read_run
from launcher.runs import check_stages, open_ledger, own_run
from launcher.show.console import open_screen

DESCRIPTION = """\
  launcher adopt 4711 --stage stage2
  launcher adopt 4711 --stage stage2 --run demo-2026

Takes over a job that runs or waits already, such as one that was handed in by hand from a run
folder: from now on it is the stage's job. It must be yours, live, and no stage's job yet.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `launcher adopt`."""
    parser.description = DESCRIPTION
    parser.add_argument("slurm_id", metavar="SLURM_ID", help="the job")
    parser.add_argument("--stage", required=True, metavar="STAGE", help="whose job it becomes")
    parser.add_argument("--run", metavar="ID", help="the run, or how its id begins (the newest)")
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Adopts the job."""
    screen, ledger = open_screen(args), open_ledger(args.runs)
    run_id = own_run(ledger, args.run).id
    rows = read_run(ledger, run_id).stages
    check_stages(run_id, [args.stage], [row.stage for row in rows])
    cluster = open_cluster(rows[0].cluster)
    with acting(ledger, time.time, wait_s=WAIT_S) as lease:
        adopt(lease, cluster, run_id, args.stage, args.slurm_id)
    screen.result(f"job {args.slurm_id} is stage {args.stage} of run {run_id} now")
    screen.say("next: launcher status")
    return 0
