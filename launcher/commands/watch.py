"""`launcher watch`: follows a run until it ends; drives it where there is no Slurm."""

import argparse
import os
import time
from pathlib import Path

from db.ledger import Ledger
from jobs.contract.paths import RunFolder
from launcher.cluster import Cluster, open_cluster
from launcher.commands.arguments import add_run_arguments
from launcher.ends import is_done
from launcher.follow import Follower, only_driver
from launcher.news import tell_news
from launcher.reconcile.refresh import read_run
from launcher.runs import check_folder, find_run, open_ledger
from launcher.show.console import Screen, open_screen
from launcher.show.end import show_end, show_left
from launcher.show.progress import open_progress

DESCRIPTION = """\
  launcher watch
  launcher watch demo-2026 --every 30

Follows a run, one pass (`launcher requeue`) after another, until every stage has ended or
cannot go on by itself. A run on this machine lives by these passes: Ctrl-C stops it after a save,
and `launcher watch` goes on from there.
"""
EXIT_CODES = {0: "every stage is done", 1: "one has ended otherwise, or cannot go on by itself"}
INTERRUPTED = 130
DAY_S = 86400
LOCAL_EVERY_S = 1.0
"""Looking costs nothing where no scheduler is asked."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `launcher watch`."""
    parser.description = DESCRIPTION
    parser.add_argument("run", nargs="?", help="the run, or how its id begins (the newest)")
    add_run_arguments(parser)
    parser.add_argument(
        "--every", type=_seconds, default=10.0, metavar="S", help="seconds between two looks (10)"
    )
    parser.add_argument("--json", action="store_true", help="print the end as JSON")


def _seconds(text: str) -> float:
    """A pause that is one: each look asks the scheduler."""
    seconds = float(text) if text.replace(".", "", 1).isdecimal() else 0.0
    if not LOCAL_EVERY_S <= seconds <= DAY_S:
        raise argparse.ArgumentTypeError(f"{text}: give a number of seconds, at least 1")
    return seconds


def run(args: argparse.Namespace) -> int:
    """Follows the run."""
    screen, ledger = open_screen(args), open_ledger(args.runs)
    chosen = find_run(ledger, args.run)
    check_folder(chosen)
    stages = read_run(ledger, chosen.id).stages
    cluster = open_cluster(stages[0].cluster)
    return follow(screen, ledger, chosen.id, cluster, every_s=args.every, as_json=args.json)


def follow(
    screen: Screen, ledger: Ledger, run_id: str, cluster: Cluster, *, every_s: float, as_json: bool
) -> int:
    """Follows a run to its end in the foreground, and shows the end.

    Returns:
        0 all stages done, 1 not, 130 after Ctrl-C.
    """
    folder = RunFolder(Path(read_run(ledger, run_id).stages[0].run.folder))
    try:
        with open_progress(screen) as progress, only_driver(folder) as is_driver:
            follower = Follower(ledger, run_id, cluster, progress, screen.say, every_s)
            if cluster.holds_dependencies:
                seen = follower.follow()
            elif is_driver:
                follower.every_s = min(every_s, LOCAL_EVERY_S)
                seen = follower.drive()
            else:
                seen = follower.watch()
    except KeyboardInterrupt:
        show_left(screen, read_run(ledger, run_id).stages)
        return INTERRUPTED
    for warning in tell_news(ledger, os.environ, good=False):
        screen.warn(warning)
    show_end(screen, seen.stages, seen.learned, at=time.time(), as_json=as_json)
    return 0 if is_done(seen.stages) else 1
