"""`launcher why`: why a stage stands where it does, and what happens next."""

import argparse
import time

from launcher.cluster import open_cluster
from launcher.commands.arguments import add_stage_arguments
from launcher.commands.requeue import load_lazily
from launcher.explain import explain
from launcher.reconcile.refresh import QUICK_BYTES
from launcher.reconcile.run_pass import Passing
from launcher.runs import check_stages, find_run, open_ledger
from launcher.show.console import open_screen

DESCRIPTION = """\
  launcher why stage3
  launcher why stage2 --run demo-2026 --json

Says why a stage stands where it does: what Slurm says of its job, where its parents stand, how its
last attempt ended and by what evidence, which rule applies, and what happens next. Changes nothing.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `launcher why`."""
    parser.description = DESCRIPTION
    add_stage_arguments(parser, several=False)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Explains the stage."""
    screen, ledger = open_screen(args), open_ledger(args.runs)
    run_id = find_run(ledger, args.run).id
    report = Passing(ledger, open_cluster, load_lazily, digest_bytes=QUICK_BYTES).preview(run_id)
    judged = report.judged[run_id]
    stages = {each.facts.stage.stage: each for each in judged}
    check_stages(run_id, [args.stage], stages)
    chosen = stages[args.stage]
    cluster = open_cluster(chosen.facts.stage.cluster)
    told = explain(chosen, judged, cluster, now=time.time(), no_answer=report.no_answer)
    if args.json:
        screen.json(told)
        return 0
    width = max(len(key) for key in told)
    for key, value in told.items():
        if value:
            screen.text(f"{key.replace('_', ' '):{width}}  {value}")
    return 0
