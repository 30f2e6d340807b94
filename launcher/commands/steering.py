"""What `launcher cancel`, `hold` and `resume` share."""

import argparse
import time
from collections.abc import Callable

from launcher.acting import WAIT_S, acting
from launcher.cluster import open_cluster
from launcher.reconcile.refresh import read_run
from launcher.runs import find_run, open_ledger
from launcher.show.console import open_screen
from launcher.steer import Steered, Steering

NOT_DONE_YET = 3


def steer(args: argparse.Namespace, wish: Callable[[Steering], Steered], next_line: str) -> int:
    """Takes the right to act, does what is wished, and says what is true now.

    Args:
        args: With `run`, `runs` and the common options.
        wish: What to do with the run's stages.
        next_line: What to type next.

    Returns:
        0, or 3 when Slurm did not do all of it: the next pass does.
    """
    screen, ledger = open_screen(args), open_ledger(args.runs)
    run_id = find_run(ledger, args.run).id
    cluster = open_cluster(read_run(ledger, run_id).stages[0].cluster)
    with acting(ledger, time.time, wait_s=WAIT_S) as lease:
        steered = wish(Steering(lease, cluster, run_id))
    for line in steered.said:
        screen.result(line.replace("[", "\\["))
    for line in steered.undone:
        screen.warn(f"{line}; the next pass does it (launcher requeue)")
    screen.say(next_line)
    return NOT_DONE_YET if steered.undone else 0
