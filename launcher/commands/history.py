"""`launcher history`: every attempt of a run."""

import argparse

from launcher.commands.arguments import add_chosen_run, add_run_arguments, chosen_run
from launcher.history import history_of
from launcher.reconcile.refresh import read_run
from launcher.runs import check_stages, find_run, open_ledger
from launcher.show.comma import show_csv
from launcher.show.console import open_screen
from launcher.show.history import CSV_COLUMNS, history_json, history_rows, show_history

DESCRIPTION = """\
  launcher history
  launcher history demo-2026 --stage stage2 --csv

Every attempt of a run: when it waited, ran and ended, what it gained and lost, where it ran, and
by which rule it went on. From the ledger alone; `launcher status` brings that up to date.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `launcher history`."""
    parser.description = DESCRIPTION
    add_chosen_run(parser)
    parser.add_argument("--stage", metavar="STAGE", help="only this stage")
    add_run_arguments(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON, one object an attempt")
    form.add_argument("--csv", action="store_true", help="print CSV, one line an attempt")


def run(args: argparse.Namespace) -> int:
    """Shows the attempts."""
    screen, ledger = open_screen(args), open_ledger(args.runs)
    run_id = find_run(ledger, chosen_run(args)).id
    stages = read_run(ledger, run_id).stages
    if args.stage is not None:
        check_stages(run_id, [args.stage], [row.stage for row in stages])
    past = history_of([row for row in stages if args.stage in (None, row.stage)])
    if args.json:
        screen.json(history_json(past))
    elif args.csv:
        show_csv(screen, CSV_COLUMNS, history_rows(past))
    else:
        show_history(screen, past)
    return 0
