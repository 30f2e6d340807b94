"""`launcher submit`: starts a run."""

import argparse
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from db.engine import ledger_url
from db.ledger import Ledger
from launcher.acting import WAIT_S, acting
from launcher.cluster import Cluster, open_cluster
from launcher.commands.arguments import add_pipeline_arguments
from launcher.commands.watch import LOCAL_EVERY_S, follow
from launcher.doctor.examine import quick
from launcher.doctor.finding import Finding, Level, of_level
from launcher.errors import UsageError
from launcher.findings import findings, notes
from launcher.grace import preflight
from launcher.pipeline import Pipeline, load_pipeline, start_from
from launcher.show.console import Screen, open_screen
from launcher.show.grace import tell_preflight
from launcher.show.submit import jobs_json, preview_json, show_jobs, show_preview
from launcher.submit import backend_of, create_run, prepare, preview, submit_jobs

DESCRIPTION = """\
  launcher submit pipeline.yaml
  launcher submit pipeline.yaml --set stages.stage3.train.lr=1e-5 --dry-run

Checks the pipeline, freezes it with a copy of the code in a run folder, and hands in one job a
stage, each waiting for its parents. Without Slurm the stages run here, one after another.
What Slurm would never start is refused (exit 2), what will cost work is told: launcher doctor.
"""
EXIT_CODES = {
    0: "submitted; where the stages run here: all are done",
    1: "a stage that ran here is not done",
    3: "Slurm said no; what it took is in the ledger",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `launcher submit`."""
    parser.description = DESCRIPTION
    add_pipeline_arguments(parser)
    parser.add_argument("--from", dest="start", metavar="STAGE", help="begin with this stage")
    parser.add_argument(
        "--init", type=Path, metavar="PATH", help="with --from: the weights it starts from"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="show the batch scripts, touch nothing"
    )
    parser.add_argument(
        "--force", action="store_true", help="submit also what Slurm, as asked, would never start"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Submits a run, or shows what would be submitted."""
    screen, pipeline = open_screen(args), _load(args)
    cluster = open_cluster(backend_of(pipeline))
    if args.dry_run:
        return _dry_run(screen, pipeline, cluster, as_json=args.json)
    prepared = prepare(pipeline, cluster)
    for note in notes(pipeline):
        screen.say(note)
    tell_preflight(screen, _checked(pipeline, cluster, force=args.force))
    ledger = Ledger.open(ledger_url(pipeline.runs), create=True)
    with acting(ledger, time.time, wait_s=WAIT_S) as lease:
        new = create_run(prepared, cluster, lease)
        if cluster.holds_dependencies:
            submit_jobs(prepared, new, cluster, lease)
    if not cluster.holds_dependencies:
        screen.say(f"run {new.id} in {new.folder.root}")
        return follow(screen, ledger, new.id, cluster, every_s=LOCAL_EVERY_S, as_json=args.json)
    if args.json:
        screen.json(jobs_json(pipeline, new))
    else:
        show_jobs(screen, pipeline, new)
    return 0


def _load(args: argparse.Namespace) -> Pipeline:
    pipeline = load_pipeline(args.pipeline, args.set)
    if args.start is None and args.init is None:
        return pipeline
    if args.start is None or args.init is None:
        raise UsageError("--from STAGE and --init PATH belong together; give both")
    return start_from(pipeline, args.start, args.init)


def _dry_run(screen: Screen, pipeline: Pipeline, cluster: Cluster, *, as_json: bool) -> int:
    shown = preview(pipeline, cluster)
    _, wrong = findings(pipeline)
    found = _found(pipeline, cluster)
    if as_json:
        screen.json(preview_json(shown, wrong))
    else:
        show_preview(screen, pipeline, shown, wrong)
    for note in notes(pipeline):
        screen.say(note)
    tell_preflight(screen, found)
    return 0


def _checked(pipeline: Pipeline, cluster: Cluster, *, force: bool) -> Sequence[Finding]:
    """What was found beforehand.

    Raises:
        UsageError: Something in it can never run, and is not forced.
    """
    found = _found(pipeline, cluster)
    errors = [finding.line for finding in of_level(found, Level.ERROR)]
    if errors and not force:
        shown = shlex.quote(str(pipeline.path))
        last = f"nothing was submitted; more: launcher doctor {shown}; all the same: --force"
        raise UsageError([*errors, last])
    return found


def _found(pipeline: Pipeline, cluster: Cluster) -> Sequence[Finding]:
    """The site is asked only about jobs that it is to run."""
    return quick(pipeline) if cluster.name == "slurm" else preflight(pipeline, lambda _: cluster)
