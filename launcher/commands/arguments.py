"""Options that several commands have."""

import argparse
from pathlib import Path


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


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the ledger lies."""
    parser.add_argument(
        "--runs",
        type=Path,
        metavar="FOLDER",
        help="the folder of runs (LAUNCHER_RUNS, else ./runs); LAUNCHER_LEDGER goes before it",
    )
