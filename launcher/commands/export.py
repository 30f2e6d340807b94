"""`launcher export`: the ledger as JSON or CSV."""

import argparse
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from launcher.commands.arguments import add_run_arguments
from launcher.errors import UsageError
from launcher.export.write import Written, checked_folder, folder_aside, write_csv, write_json
from launcher.output import STDOUT, explained, result_file, written_aside
from launcher.runs import find_run, open_ledger
from launcher.show.console import Screen, open_screen

DESCRIPTION = """\
  launcher export -o ledger.json
  launcher export --run demo-2026 --format csv -o demo-ledger

Writes all tables of the ledger, or what they hold of one run: as one JSON document, by default to
standard output, or as a folder of CSV files, one a table. Times are Unix seconds. It is one
consistent view, and there whole or not at all. docs/export.md describes both formats.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `launcher export`."""
    parser.description = DESCRIPTION
    parser.add_argument(
        "--run", metavar="ID", help="only this run, or the one whose id begins so (all)"
    )
    parser.add_argument(
        "--format", choices=("json", "csv"), default="json", help="json, or csv: a folder of files"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="PATH",
        help="the file; - is stdout, the default; for csv the folder",
    )
    parser.add_argument(
        "--force", action="store_true", help="csv: replace an export that the folder holds"
    )
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Writes the export."""
    screen = open_screen(args)
    if args.format == "csv":
        _export_csv(screen, args)
    elif args.force:
        raise UsageError("--force: a JSON file is replaced anyway; it goes with --format csv")
    else:
        _export_json(screen, args)
    return 0


def _export_csv(screen: Screen, args: argparse.Namespace) -> None:
    if args.output is None or str(args.output) == STDOUT:
        raise UsageError("--format csv: there is a file for each table; name a folder: -o FOLDER")
    folder = checked_folder(args.output, force=args.force)
    ledger = open_ledger(args.runs)
    run_id = find_run(ledger, args.run).id if args.run is not None else None
    with folder_aside(folder) as aside:
        written = write_csv(ledger, run_id, aside, at=time.time())
    _tell(screen, written, folder)


def _export_json(screen: Screen, args: argparse.Namespace) -> None:
    path = result_file(args.output)
    ledger = open_ledger(args.runs)
    run_id = find_run(ledger, args.run).id if args.run is not None else None
    if path is not None:
        with written_aside(path) as file:
            written = write_json(ledger, run_id, file, at=time.time())
        _tell(screen, written, path)
        return
    spool = Path(tempfile.gettempdir())
    with ExitStack() as stack:
        with explained(spool):
            file = stack.enter_context(
                tempfile.TemporaryFile(
                    "w+", encoding="utf-8", errors="backslashreplace", newline=""
                )
            )
            write_json(ledger, run_id, file, at=time.time())
            file.seek(0)
        screen.copy(file)


def _tell(screen: Screen, written: Written, path: Path) -> None:
    screen.say(f"{written.total} rows of {len(written.rows)} tables are in {path}")
