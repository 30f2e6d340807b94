"""`launcher status`: where the stages of a run stand."""

import argparse
import time

from db.ledger import Ledger
from db.passes import last_pass, usual_distance_s
from db.states import RunState
from launcher.cluster import open_cluster
from launcher.commands.arguments import add_run_arguments
from launcher.reconcile.refresh import QUICK_BYTES, Refreshed, read_run, refresh_run
from launcher.runs import find_run, open_ledger
from launcher.show.console import Screen, open_screen
from launcher.show.status import passes_line, show_status, status_json
from launcher.view import view_stages

_GOING_ON = (RunState.SUBMITTING, RunState.RUNNING, RunState.HELD)
DESCRIPTION = """\
  launcher status
  launcher status --run demo-2026 --json

Shows each stage of a run: its state, job, attempts, steps, time and newest checkpoint.
Brings the ledger up to date first, with at most two questions to Slurm.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `launcher status`."""
    parser.description = DESCRIPTION
    add_run_arguments(parser)
    parser.add_argument("--run", metavar="ID", help="the run, or how its id begins (the newest)")
    parser.add_argument("--no-refresh", action="store_true", help="show the ledger, ask nobody")
    parser.add_argument("--json", action="store_true", help="print JSON, one object a stage")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="say how often Slurm was asked"
    )


def run(args: argparse.Namespace) -> int:
    """Shows the status; what Slurm does not answer is a warning."""
    screen = open_screen(args)
    ledger = open_ledger(args.runs)
    chosen = find_run(ledger, args.run)
    if args.no_refresh:
        seen, at = read_run(ledger, chosen.id), None
    else:
        seen = refresh_run(
            ledger, chosen.id, open_cluster, clock=time.time, digest_bytes=QUICK_BYTES
        )
        at = time.time()
    _talk(screen, seen, verbose=args.verbose)
    views = view_stages(seen.stages, seen.learned)
    if args.json:
        screen.json(status_json(views))
    else:
        passes = _passes(ledger, seen)
        show_status(
            screen, seen.stages[0].run, views, at=None if seen.no_answer else at, passes=passes
        )
    return 0


def _passes(ledger: Ledger, seen: Refreshed) -> str:
    """How long ago the last good pass was; nothing about a run that has ended or is here."""
    run = seen.stages[0].run
    if seen.stages[0].cluster == "local" or run.state not in _GOING_ON:
        return ""
    with ledger.read() as session:
        last, usual_s = last_pass(session, good=True), usual_distance_s(session)
    return passes_line(last.ended_at if last else None, run.created_at, time.time(), usual_s)


def _talk(screen: Screen, seen: Refreshed, *, verbose: bool) -> None:
    if seen.no_answer:
        screen.warn(f"{seen.no_answer}; the states below are from the last time it answered")
    if verbose:
        screen.say(f"scheduler queries: {seen.queries}")
