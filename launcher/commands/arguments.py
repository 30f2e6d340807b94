"""Options that several commands have."""

import argparse
from pathlib import Path

from launcher.errors import UsageError


def add_pipeline_arguments(parser: argparse.ArgumentParser) -> None:
    """The pipeline file, and values to put over the file's."""
    parser.add_argument("pipeline", type=Path, help="the pipeline file")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="put a value over the file's, such as stages.stage3.train.lr=1e-5",
    )


def whole_number(text: str) -> int:
    """A number of things, 0 or more."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text}: give a whole number, 0 or more")
    return int(text)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the ledger lies."""
    parser.add_argument(
        "--runs",
        type=Path,
        metavar="FOLDER",
        help="the folder of runs (LAUNCHER_RUNS, else ./runs); LAUNCHER_LEDGER goes before it",
    )


def add_chosen_run(parser: argparse.ArgumentParser) -> None:
    """A run, as an argument or, as with most commands, by `--run`; see `chosen_run`."""
    told = "the run, or how its id begins (the newest)"
    parser.add_argument("run", nargs="?", metavar="RUN", help=told)
    parser.add_argument("--run", dest="run_too", metavar="ID", help="the same as RUN")


def chosen_run(args: argparse.Namespace) -> str | None:
    """The run of `add_chosen_run`; None: the newest.

    Raises:
        UsageError: It is given both ways.
    """
    run: str | None = args.run
    too: str | None = args.run_too
    if run is not None and too is not None:
        raise UsageError(f"launcher {args.command}: the run is given twice; drop --run")
    return too if run is None else run


def add_stage_arguments(parser: argparse.ArgumentParser, *, several: bool) -> None:
    """Stages of a run; which run, and where the ledger lies.

    Args:
        parser: The command's.
        several: Any number of stages may be named; otherwise exactly one.
    """
    if several:
        parser.add_argument("stages", nargs="*", metavar="STAGE", help="stages (all of the run)")
    else:
        parser.add_argument("stage", metavar="STAGE", help="the stage")
    parser.add_argument("--run", metavar="ID", help="the run, or how its id begins (the newest)")
    add_run_arguments(parser)
