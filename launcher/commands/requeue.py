"""`launcher requeue`: one pass over all runs; what cron calls."""

import argparse
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from launcher.acting import BusyError
from launcher.cluster import open_cluster
from launcher.commands.arguments import add_run_arguments
from launcher.news import tell_news
from launcher.reconcile.refresh import ALL_BYTES
from launcher.reconcile.run_pass import Passing, Report
from launcher.runs import find_run, open_ledger
from launcher.show.console import open_screen
from launcher.show.requeue import show_report

if TYPE_CHECKING:
    from launcher.pipeline import Pipeline

DESCRIPTION = """\
  launcher requeue --dry-run
  launcher requeue --quiet

One pass: compares the ledger with Slurm and with the jobs' files, submits again what was
interrupted, ties children to their parents' new jobs, frees and stops what needs it. A pass with
nothing to do prints nothing. `launcher cron install` lets cron do it.
"""
EXIT_CODES = {
    0: "done, or another launcher is doing it",
    1: "something could not be done; the next pass tries again",
    3: "Slurm did not answer, so nothing was done",
}
NO_ANSWER = 3
NOT_DONE = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `launcher requeue`."""
    parser.description = DESCRIPTION
    parser.add_argument("run", nargs="?", help="only this run, or the one whose id begins so")
    add_run_arguments(parser)
    parser.add_argument("--dry-run", action="store_true", help="decide the same, act on nothing")
    parser.add_argument("--json", action="store_true", help="print the decisions as JSON")


def run(args: argparse.Namespace) -> int:
    """One pass, or a look at what it would do."""
    screen, ledger = open_screen(args), open_ledger(args.runs)
    run_id = find_run(ledger, args.run).id if args.run else None
    passing = Passing(ledger, open_cluster, load_lazily, digest_bytes=ALL_BYTES)
    try:
        report = passing.preview(run_id) if args.dry_run else passing.run(run_id)
    except BusyError as busy:
        screen.say(f"{busy}")  # that one does the work
        return 0
    if args.json:
        screen.json(report_json(report))
    else:
        show_report(screen, report, dry=args.dry_run, now=time.time())
    if not args.dry_run:
        for warning in tell_news(ledger, os.environ, good=not report.no_answer):
            screen.warn(warning)
    if report.no_answer:
        return NO_ANSWER
    return NOT_DONE if report.errors else 0


def load_lazily(path: Path) -> "Pipeline":
    """Reads a frozen pipeline: only a pass that submits something pays for it."""
    from launcher.pipeline import load_pipeline  # noqa: PLC0415

    return load_pipeline(path)


def report_json(report: Report) -> dict[str, object]:
    """A pass as `--json` prints it."""
    return {
        "queries": report.queries,
        "no_answer": report.no_answer or None,
        "stages": report.stages,
        "decisions": [
            {
                "run": each.facts.stage.run_id,
                "stage": each.facts.stage.stage,
                "rule": each.decision.rule,
                "action": str(each.decision.action),
                "sentence": each.decision.sentence,
                "not_before": each.decision.not_before,
            }
            for judged in report.judged.values()
            for each in judged
        ],
        "acts": [asdict(done) for done in report.done],
    }
