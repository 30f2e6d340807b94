"""What `launcher cancel`, `hold` and `resume` share."""

import argparse
import time
from collections.abc import Callable

from launcher.acting import WAIT_S, acting
from launcher.cluster import open_cluster
from launcher.reconcile.refresh import read_run
from launcher.runs import check_stages, open_ledger, own_run
from launcher.show.console import open_screen
from launcher.steer import Steering
from launcher.wishes import Steered

NOT_DONE_YET = 3


def steer(
    args: argparse.Namespace, wish: Callable[[Steering], Steered], next_command: str = ""
) -> int:
    """Takes the right to act, does what is wished, and says what is true now.

    Args:
        args: With `run`, `runs` and the common options.
        wish: What to do with the run's stages.
        next_command: What to type next; by default what shows or drives the run.

    Returns:
        0, or 3 when Slurm did not do all of it: the next pass does, or it is to be asked again.
    """
    screen, ledger = open_screen(args), open_ledger(args.runs)
    run_id = own_run(ledger, args.run).id
    rows = read_run(ledger, run_id).stages
    check_stages(run_id, args.stages, [row.stage for row in rows])
    cluster = open_cluster(rows[0].cluster)
    with acting(ledger, time.time, wait_s=WAIT_S) as lease:
        steered = wish(Steering(lease, cluster, run_id))
    for line in steered.said:
        screen.result(line.replace("[", "\\["))
    for line in steered.undone:
        screen.warn(f"{line}; the next pass does it (launcher requeue)")
    for line in steered.refused:
        screen.warn(f"{line}; ask for it again")
    # Where there is no Slurm, nothing goes on by itself.
    shows = "status" if cluster.holds_dependencies else "watch"
    screen.say(f"next: launcher {next_command or shows}")
    return NOT_DONE_YET if steered.undone or steered.refused else 0
