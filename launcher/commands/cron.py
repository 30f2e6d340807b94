"""`launcher cron`: lets cron run a pass every few minutes."""

import argparse
import os
import time
from pathlib import Path
from typing import Final

from launcher.commands.arguments import add_run_arguments
from launcher.cron.blocks import with_block, without_block
from launcher.cron.entry import EVERY_MIN, LOG, Entry, cron_lines, scron_lines, systemd_units
from launcher.cron.settings import (
    has_slurm,
    ledger_to_write,
    make_entry,
    try_out,
    unkept_slurm_options,
)
from launcher.cron.survey import owner, survey
from launcher.cron.tables import Table
from launcher.errors import UsageError
from launcher.runs import open_ledger, runs_folder
from launcher.show.console import Screen, open_screen
from launcher.show.cron import show_survey, survey_json

DESCRIPTION = """\
  launcher cron install
  launcher cron show

Lets cron run `launcher requeue` every few minutes, for the ledger of one runs folder.
install writes one line into your crontab (again: writes it anew), show says what is installed
and when the last good pass was, remove takes the line out. Lines of others are not touched.
"""
_DEFAULT_EVERY_MIN: Final = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `launcher cron`."""
    parser.description = DESCRIPTION
    parser.add_argument("act", choices=("install", "show", "remove"), help="what to do")
    add_run_arguments(parser)
    parser.add_argument(
        "--every",
        type=_minutes,
        default=_DEFAULT_EVERY_MIN,
        metavar="TIME",
        help=f"time between two passes, such as 5m ({_DEFAULT_EVERY_MIN}m)",
    )
    parser.add_argument(
        "--keep",
        action="append",
        default=[],
        metavar="NAME",
        help="give a variable of this shell to the passes too, such as SBATCH_ACCOUNT",
    )
    parser.add_argument(
        "--scrontab", action="store_true", help="Slurm's scrontab instead, where the site has it"
    )
    parser.add_argument(
        "--scron",
        action="append",
        default=[],
        metavar="OPTION",
        help="an option for scrontab's job, such as --scron=--partition=cron",
    )
    parser.add_argument(
        "--print", action="store_true", help="install: print the lines, change nothing"
    )
    parser.add_argument(
        "--systemd", action="store_true", help="with --print: a service and a timer of systemd"
    )
    parser.add_argument("--json", action="store_true", help="show: print JSON")


def _minutes(text: str) -> int:
    """A pause that cron can keep evenly."""
    from jobs.contract.units import parse_duration  # noqa: PLC0415 - heavy, seldom needed

    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    minutes, rest = divmod(seconds, 60)
    if rest or minutes not in EVERY_MIN:
        known = ", ".join(f"{minutes}m" for minutes in EVERY_MIN)
        raise argparse.ArgumentTypeError(f"{text}: cron can keep {known}")
    return minutes


def run(args: argparse.Namespace) -> int:
    """Installs, shows or removes the line of one runs folder."""
    screen = open_screen(args)
    runs = Path(os.path.normpath(runs_folder(args.runs).absolute()))
    table = Table("scrontab" if args.scrontab else "crontab")
    if args.print and args.act != "install":
        raise UsageError("--print: it goes with install; type: launcher cron install --print")
    if args.systemd and not args.print:
        raise UsageError("--systemd: nothing is installed, only printed; add --print")
    if args.act == "install":
        _install(screen, args, table, runs)
    elif args.act == "show":
        _show(screen, runs, as_json=args.json)
    else:
        _remove(screen, table, runs)
    return 0


def _install(screen: Screen, args: argparse.Namespace, table: Table, runs: Path) -> None:
    """Writes the line, after trying it out; or prints it."""
    open_ledger(args.runs)  # where there is none a pass would find none either
    ledger = ledger_to_write(os.environ)
    entry = make_entry(runs, args.every, os.environ, ledger=ledger, keep=args.keep)
    if args.systemd:
        _print_units(screen, entry)
        return
    lines = scron_lines(entry, args.scron) if table.is_slurm else cron_lines(entry)
    if args.print:
        screen.text(with_block(b"", runs, lines).decode())
        return
    try_out(entry, os.environ)
    before = table.read()
    after = with_block(before, runs, lines)
    if after != before:
        table.write(after)
    how = "installed" if after != before else "installed already"
    screen.text(f"{how} in {owner(table)}: a pass over {runs} every {entry.every_min} min")
    screen.say(f"log: {runs / LOG}; look: launcher cron show; undo: launcher cron remove")
    _warn(screen, args)


def _warn(screen: Screen, args: argparse.Namespace) -> None:
    """Tells what will not be there when cron runs."""
    if not has_slurm(os.environ):
        screen.warn("no sbatch is found here; passes will see jobs of this machine only")
    for name in unkept_slurm_options(os.environ, args.keep):
        screen.warn(f"{name} is set here and not under cron; if jobs need it, add --keep {name}")


def _print_units(screen: Screen, entry: Entry) -> None:
    units = systemd_units(entry)
    for name, text in units.items():
        screen.text(f"# ~/.config/systemd/user/{name}\n{text}")
    timer = next(name for name in units if name.endswith(".timer"))
    screen.say(f"then: systemctl --user enable --now {timer}; loginctl enable-linger")


def _show(screen: Screen, runs: Path, *, as_json: bool) -> None:
    found, now = survey(runs), time.time()
    if as_json:
        screen.json(survey_json(found, now=now))
    else:
        show_survey(screen, found, now=now)


def _remove(screen: Screen, table: Table, runs: Path) -> None:
    before = table.read()
    after = without_block(before, runs)
    if after == before:
        screen.text(f"nothing was installed in {owner(table)} for {runs}")
        return
    table.write(after)
    screen.text(f"removed from {owner(table)}: the passes over {runs}")
