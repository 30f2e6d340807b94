"""`launcher metrics`: the ledger as metrics for Prometheus."""

import argparse
import math
import time
from pathlib import Path
from typing import Final

from launcher.commands.arguments import add_run_arguments
from launcher.metrics.measure import samples
from launcher.metrics.read import read_totals
from launcher.output import is_device, result_file, written_aside
from launcher.runs import open_ledger
from launcher.show.console import open_screen

DESCRIPTION = """\
  launcher metrics
  launcher metrics -o /var/lib/prometheus/node-exporter/launcher.prom

Prints what the ledger knows in Prometheus' text format, or writes it into a file (aside, then
moved) for the textfile collector of node_exporter: states, steps, loss, goodput, checkpoints,
interruptions, passes. Asks Slurm nothing. Only runs that go on, and those that ended lately, have
series of their own. docs/metrics.md lists the metrics, with alert rules and the line for cron.
"""
_DAYS: Final = 7.0
_SUFFIX: Final = ".prom"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `launcher metrics`."""
    parser.description = DESCRIPTION
    add_run_arguments(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="the file to write; - is stdout, the default",
    )
    parser.add_argument(
        "--days",
        type=_days,
        default=_DAYS,
        metavar="N",
        help=f"how long a run that has ended keeps its series ({_DAYS:g})",
    )


def _days(text: str) -> float:
    """A number of days, 0 or more."""
    try:
        days = float(text)
    except ValueError:
        days = math.nan
    if not 0 <= days < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: give a number of days, 0 or more")
    return days


def run(args: argparse.Namespace) -> int:
    """Prints or writes the metrics."""
    from launcher.metrics.expose import Exposition  # noqa: PLC0415 - after what can be wrong

    screen = open_screen(args)
    path = result_file(args.output)
    ledger = open_ledger(args.runs)
    totals = read_totals(ledger, now=time.time(), days=args.days)
    exposition = Exposition(ledger.place, samples(totals))
    if path is None:
        screen.text(exposition.text())
        return 0
    with written_aside(path) as file:
        file.write(exposition.text())
    if path.suffix != _SUFFIX and not is_device(path):
        screen.warn(f"{path}: the textfile collector reads only files named *{_SUFFIX}")
    return 0
