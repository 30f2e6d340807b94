"""`launcher doctor`: what may keep a run from running, and what to do about it."""

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

from launcher.cluster.base import NoAnswer
from launcher.commands.arguments import add_run_arguments
from launcher.errors import ClusterError, UsageError
from launcher.pipeline import Pipeline, load_pipeline
from launcher.runs import runs_folder
from launcher.show.console import open_screen

DESCRIPTION = """\
  launcher doctor
  launcher doctor pipeline.yaml --probe

Looks at what may keep a run from running: the site, the folder of runs, the ledger, the passes of
cron, this environment; with a pipeline file also whether each stage's request fits its partition,
account and QOS, and gets the time and the room to save. For each finding: what, why it matters,
what to do. Nothing is changed. --probe also looks from a node, by a job of one task.
"""
EXIT_CODES = {
    0: "nothing was found that can never run",
    1: "something can never run",
    3: "Slurm should answer and does not",
}
_ERRORS = 1
_PROBE_MAX_S = 3600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `launcher doctor`."""
    parser.description = DESCRIPTION
    parser.add_argument("pipeline", type=Path, nargs="?", help="the pipeline file")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="put a value over the file's, such as cluster.nodes=2",
    )
    parser.add_argument(
        "--probe", action="store_true", help="also send a job of one task to each partition"
    )
    parser.add_argument(
        "--wait", type=_seconds, metavar="TIME", help="how long that job may wait for a node (30s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_run_arguments(parser)


def _seconds(text: str) -> int:
    from jobs.contract.units import parse_duration  # noqa: PLC0415 - heavy, seldom needed

    try:
        return min(parse_duration(text), _PROBE_MAX_S)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _load(args: argparse.Namespace) -> Pipeline | None:
    """The pipeline, with the folder of runs that the command line names, where it does."""
    if args.pipeline is not None:
        pipeline = load_pipeline(args.pipeline, args.set)
        return pipeline if args.runs is None else replace(pipeline, runs=args.runs.absolute())
    if args.set:
        raise UsageError("--set: it goes with a pipeline file; name one")
    return None


def _wants_slurm(pipeline: Pipeline | None) -> bool:
    """Whether Slurm should answer: it is here, and the pipeline does not run without it.

    Raises:
        ClusterError: The pipeline wants it, and it is not here.
    """
    from launcher.submit import backend_of  # noqa: PLC0415 - help comes without it

    backend = backend_of(pipeline) if pipeline else "auto"
    is_here = shutil.which("sbatch") is not None
    if backend == "slurm" and not is_here:
        raise ClusterError(
            "sbatch is not on PATH; run the doctor on a login node of the cluster, or with "
            "--set cluster.backend=local"
        )
    return is_here and backend != "local"


def run(args: argparse.Namespace) -> int:
    """Looks, and shows what was found."""
    from launcher.doctor.ask import ask_site  # noqa: PLC0415 - help comes without them
    from launcher.doctor.examine import full, has_errors  # noqa: PLC0415
    from launcher.show.doctor import doctor_json, show_doctor  # noqa: PLC0415

    screen, pipeline = open_screen(args), _load(args)
    runs = pipeline.runs if pipeline else runs_folder(args.runs)
    on_slurm = _wants_slurm(pipeline)
    site = ask_site() if on_slurm else None
    if args.probe and site is None:
        raise UsageError("--probe: there is no Slurm here; run the doctor on a login node")
    sections = full(pipeline, runs, site)
    if args.probe and site is not None and not site.is_silent:
        from launcher.doctor.examine import look_from_nodes  # noqa: PLC0415

        screen.say("a job of one task goes to each partition")
        sections.append(look_from_nodes(pipeline, runs, site, args.wait))
    if args.json:
        screen.json(doctor_json(sections))
    else:
        show_doctor(screen, sections)
    if site is not None and isinstance(site.settings, NoAnswer):
        raise ClusterError(f"{site.settings.what}; the rest was looked at all the same")
    return _ERRORS if has_errors(sections) else 0
