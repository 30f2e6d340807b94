"""`launcher resume`: lets stages go on that were held, have failed or were cancelled."""

import argparse

from launcher.commands.arguments import add_stage_arguments
from launcher.commands.steering import steer
from launcher.runs import check_folder, find_run, open_ledger

DESCRIPTION = """\
  launcher resume
  launcher resume stage2 --run demo-2026

Lets stages go on that were held, have failed or were cancelled: from their newest checkpoint, with
all earlier attempts forgiven. A cancelled stage brings back the children that were cancelled.
"""
EXIT_CODES = {0: "done", 3: "Slurm did not do all of it: the next pass does, or ask again"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `launcher resume`."""
    parser.description = DESCRIPTION
    add_stage_arguments(parser, several=True)


def run(args: argparse.Namespace) -> int:
    """Resumes the stages."""
    check_folder(find_run(open_ledger(args.runs), args.run))
    return steer(args, lambda steering: steering.resume(args.stages))
