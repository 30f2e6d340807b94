"""`launcher cancel`: ends stages for good, with everything that needs them."""

import argparse
import sys

from launcher.commands.arguments import add_stage_arguments
from launcher.commands.steering import steer
from launcher.errors import UsageError
from launcher.runs import open_ledger, own_run
from launcher.show.console import open_screen

DESCRIPTION = """\
  launcher cancel stage3
  launcher cancel --run demo-2026 --yes

Ends the jobs of stages (all of the run without a name), and of everything that needs them. They are
not tried again. Checkpoints stay: `launcher resume` goes on from them.
"""
EXIT_CODES = {0: "done", 3: "Slurm did not do all of it: the next pass does, or ask again"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `launcher cancel`."""
    parser.description = DESCRIPTION
    add_stage_arguments(parser, several=True)
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def run(args: argparse.Namespace) -> int:
    """Cancels the stages, after asking where somebody can answer."""
    run_id = own_run(open_ledger(args.runs), args.run).id
    what = ", ".join(args.stages) or "all stages"
    question = f"cancel {what} of run {run_id}, and what needs it?"
    if not args.yes and sys.stdin.isatty() and not open_screen(args).agrees(question):
        raise UsageError("nothing was cancelled")
    args.run = run_id  # a newer run may have begun meanwhile
    return steer(args, lambda steering: steering.cancel(args.stages), "resume, if need be")
