"""`launcher events`: what happened, in order."""

import argparse
import time
from collections.abc import Sequence
from datetime import datetime

from db.ledger import Ledger
from db.queries import events_of, run_by_id, stages_of
from db.schema import Event
from db.states import RunState
from launcher.commands.arguments import add_run_arguments, whole_number
from launcher.errors import UsageError
from launcher.runs import check_stages, find_run, open_ledger
from launcher.show.comma import csv_text
from launcher.show.console import Screen, open_screen
from launcher.show.events import CSV_COLUMNS, event_json, event_line, event_row

DESCRIPTION = """\
  launcher events --since 2h
  launcher events --stage stage2 -n 200 --json

The audit trail of a run: states, submissions, decisions with the ids of their rules; newest last.
-f goes on with what happens, as far as passes see it, until the run has ended.
"""
_LAST = 50
_ALL = 1_000_000
_POLL_S = 2.0
_ENDED = (RunState.DONE, RunState.FAILED, RunState.CANCELLED)
INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `launcher events`."""
    parser.description = DESCRIPTION
    parser.add_argument("--run", metavar="ID", help="the run, or how its id begins (the newest)")
    parser.add_argument("--stage", metavar="STAGE", help="only this stage")
    parser.add_argument(
        "-n",
        type=whole_number,
        metavar="N",
        help=f"how many, at most ({_LAST}; with --since all)",
    )
    parser.add_argument(
        "--since",
        type=_moment,
        metavar="WHEN",
        help="only what happened since then: 2h, 1d, 2026-11-27 or '2026-11-27 18:00'",
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the run has ended")
    add_run_arguments(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--csv", action="store_true", help="print CSV, one line an event")


def _moment(text: str) -> float:
    """Unix seconds of a duration ago, or of a date in local time."""
    from jobs.contract.durations import parse_duration  # noqa: PLC0415 - seldom needed

    try:
        return time.time() - parse_duration(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text}: give a duration such as 2h, or a date such as '2026-11-27 18:00'"
        ) from None


def run(args: argparse.Namespace) -> int:
    """Shows the events."""
    if args.follow and args.json:
        raise UsageError("launcher events: -f does not end its JSON; take --csv, or leave -f out")
    screen, ledger = open_screen(args), open_ledger(args.runs)
    run_id = find_run(ledger, args.run).id
    with ledger.read() as session:
        if args.stage is not None:
            check_stages(run_id, [args.stage], [row.stage for row in stages_of(session, run_id)])
    count = args.n if args.n is not None else _LAST if args.since is None else _ALL
    newest, _ = _read(ledger, run_id, args, last=max(1, count))  # what -f goes on from
    found = newest[:count]
    if args.json:
        screen.json([event_json(event) for event in found])
        return 0
    _show(screen, found, args, is_first=True)
    return _follow(screen, ledger, run_id, args, newest) if args.follow else 0


def _read(
    ledger: Ledger, run_id: str, args: argparse.Namespace, *, last: int = _ALL, after: int = 0
) -> tuple[Sequence[Event], bool]:
    """The last events after one, and whether the run has ended."""
    with ledger.read() as session:
        found = events_of(
            session, run_id, stage=args.stage, last=last, since=args.since, after=after
        )
        row = run_by_id(session, run_id)
        return found, row is None or row.state in _ENDED


def _follow(
    screen: Screen, ledger: Ledger, run_id: str, args: argparse.Namespace, found: Sequence[Event]
) -> int:
    last = found[-1].id if found else 0
    try:
        while True:
            new, has_ended = _read(ledger, run_id, args, after=last)
            _show(screen, new, args, is_first=False)
            last = new[-1].id if new else last
            if has_ended:
                return 0
            time.sleep(_POLL_S)
    except KeyboardInterrupt:
        return INTERRUPTED


def _show(
    screen: Screen, found: Sequence[Event], args: argparse.Namespace, *, is_first: bool
) -> None:
    if args.csv:
        text = csv_text(CSV_COLUMNS, [event_row(event) for event in found], names=is_first)
    else:
        text = "\n".join(event_line(event) for event in found)
    if text:
        screen.text(text)
    screen.out.file.flush()
