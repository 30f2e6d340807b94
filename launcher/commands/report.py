"""`launcher report`: what a run was like, as one HTML file."""

import argparse
import math
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from db.ledger import Ledger
from launcher.accounting.account import read_attempt
from launcher.cluster import open_cluster
from launcher.commands.arguments import add_chosen_run, add_run_arguments, chosen_run
from launcher.errors import LauncherError
from launcher.output import is_device, result_file, written_aside
from launcher.reconcile.refresh import QUICK_BYTES, refresh_run
from launcher.report.price import Price
from launcher.report.story import Story, read_story
from launcher.runs import find_run, open_ledger
from launcher.show.account import account_json
from launcher.show.console import Screen, open_screen

DESCRIPTION = """\
  launcher report demo-2026 -o report.html
  launcher report --price 2.10 --currency EUR

Writes one HTML file about a run, which opens from the disk and needs no network: where its
GPU-hours went, its attempts, curves, checkpoints, decisions and figures. `--json` prints the
accounts only. docs/report.md says what each part means.
"""
NEEDED = {"jinja2": "jinja2", "vl_convert": "vl-convert-python"}
"""Modules, with the packages that bring them; the extra `report` has both."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `launcher report`."""
    parser.description = DESCRIPTION
    add_chosen_run(parser)
    add_run_arguments(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="the file to write (RUN.html); - is stdout",
    )
    parser.add_argument(
        "--price", type=_price, metavar="AMOUNT", help="of a GPU-hour, such as 2.10"
    )
    parser.add_argument("--currency", default="EUR", metavar="NAME", help="of the price (EUR)")
    parser.add_argument("--no-refresh", action="store_true", help="tell the ledger's, ask nobody")
    parser.add_argument("--json", action="store_true", help="print the accounts as JSON, no page")


def run(args: argparse.Namespace) -> int:
    """Writes the page, or prints the accounts."""
    if not args.json:
        check_installed()
    screen, ledger = open_screen(args), open_ledger(args.runs)
    run_id = find_run(ledger, chosen_run(args)).id
    price = None if args.price is None else Price(args.price, args.currency)
    file = args.output or Path(f"{run_id}.html")
    path = None if args.json else result_file(file)
    if not args.no_refresh:
        _refresh(screen, ledger, run_id)
    story = read_story(ledger, run_id, read_attempt, now=time.time(), price=price)
    if args.json:
        screen.json(account_json(story))
        return 0
    size = _write(screen, story, path)
    if path is not None and not is_device(path):
        screen.say(f"the report of run {run_id}, {size / 1000:.0f} kB:")
        screen.text(str(file))
    return 0


def check_installed() -> None:
    """Raises LauncherError where the packages that draw the page are missing."""
    missing = [package for module, package in NEEDED.items() if find_spec(module) is None]
    if missing:
        raise LauncherError(
            f"launcher report: what draws the page is not installed: {', '.join(missing)}; type: "
            f"{sys.executable} -m pip install {' '.join(missing)} (--json needs neither)"
        )


def _refresh(screen: Screen, ledger: Ledger, run_id: str) -> None:
    seen = refresh_run(ledger, run_id, open_cluster, clock=time.time, digest_bytes=QUICK_BYTES)
    if seen.no_answer:
        screen.warn(f"{seen.no_answer}; the report is about the last time it answered")


def _write(screen: Screen, story: Story, path: Path | None) -> int:
    """Writes the page, whole or not at all, and gives its bytes; None: to stdout."""
    from launcher.show.report.page import render  # noqa: PLC0415 - of the extra `report`

    # What a job wrote down may hold halves of characters, which no file can.
    page = render(story).encode("utf-8", "replace")
    if path is None:
        screen.text(page.decode())
        return len(page)
    with written_aside(path) as file:
        file.write(page.decode())
    return len(page)


def _price(text: str) -> float:
    """An amount of money; argparse tells what is wrong with others."""
    try:
        amount = float(text)
    except ValueError:
        amount = math.nan
    if not 0 <= amount < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a price; write 2.10")
    return amount
