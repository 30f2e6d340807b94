"""`launcher why`: why a stage stands where it does, and what happens next."""

import argparse
import time

from db.ledger import Ledger
from launcher.cluster import open_cluster
from launcher.commands.arguments import add_stage_arguments
from launcher.commands.requeue import load_lazily
from launcher.explain import explain, explain_unseen
from launcher.identity import user_name
from launcher.reconcile.refresh import QUICK_BYTES, read_run
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
    chosen = find_run(ledger, args.run)
    if chosen.submitted_by == user_name():
        told = _explained(ledger, chosen.id, args.stage)
    else:
        stages = {row.stage: row for row in read_run(ledger, chosen.id).stages}
        check_stages(chosen.id, [args.stage], stages)
        told = explain_unseen(stages[args.stage], list(stages.values()))
    if args.json:
        screen.json(told)
        return 0
    width = max(len(key) for key in told)
    for key, value in told.items():
        if value:
            screen.text(f"{key.replace('_', ' '):{width}}  {value}")
    return 0


def _explained(ledger: Ledger, run_id: str, stage: str) -> dict[str, str]:
    """What a pass would see and decide."""
    report = Passing(ledger, open_cluster, load_lazily, digest_bytes=QUICK_BYTES).preview(run_id)
    judged = report.judged[run_id]
    stages = {each.facts.stage.stage: each for each in judged}
    check_stages(run_id, [stage], stages)
    chosen = stages[stage]
    cluster = open_cluster(chosen.facts.stage.cluster)
    return explain(chosen, judged, cluster, now=time.time(), no_answer=report.no_answer)
