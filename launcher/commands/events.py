"""`launcher events`: what happened, in order."""

import argparse
import time

from db.queries import events_of, stages_of
from launcher.commands.arguments import add_run_arguments, whole_number
from launcher.runs import check_stages, find_run, open_ledger
from launcher.show.console import open_screen

DESCRIPTION = """\
  launcher events
  launcher events --stage stage2 -n 200 --json

The audit trail of a run: states, submissions, decisions with the ids of their rules; newest last.
"""
_LAST = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `launcher events`."""
    parser.description = DESCRIPTION
    parser.add_argument("--run", metavar="ID", help="the run, or how its id begins (the newest)")
    parser.add_argument("--stage", metavar="STAGE", help="only this stage")
    parser.add_argument(
        "-n", type=whole_number, default=_LAST, metavar="N", help=f"how many, at most ({_LAST})"
    )
    add_run_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Shows the events."""
    screen, ledger = open_screen(args), open_ledger(args.runs)
    run_id = find_run(ledger, args.run).id
    with ledger.read() as session:
        if args.stage is not None:
            check_stages(run_id, [args.stage], [row.stage for row in stages_of(session, run_id)])
        found = events_of(session, run_id, stage=args.stage, last=args.n)
    if args.json:
        keys = ("at", "kind", "text", "data")
        screen.json([{key: getattr(event, key) for key in keys} for event in found])
        return 0
    for event in found:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.at))
        rule = event.data.get("rule")
        screen.text(f"{at}  {event.text}" + (f"  [{rule}]" if rule else ""))
    return 0
