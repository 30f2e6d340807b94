"""`launcher hold`: keeps stages from starting."""

import argparse

from launcher.commands.arguments import add_stage_arguments
from launcher.commands.steering import steer

DESCRIPTION = """\
  launcher hold stage3
  launcher hold --run demo-2026

Keeps stages from starting. One that runs saves, leaves its nodes, and is held then. Nothing is
lost; `launcher resume` lets them go on.
"""
EXIT_CODES = {0: "done", 3: "Slurm did not do all of it: the next pass does, or ask again"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `launcher hold`."""
    parser.description = DESCRIPTION
    add_stage_arguments(parser, several=True)


def run(args: argparse.Namespace) -> int:
    """Holds the stages."""
    return steer(args, lambda steering: steering.hold(args.stages), "resume, when it may go on")
