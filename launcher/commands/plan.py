"""`launcher plan`: what would run, how long, how many GPU-hours."""

import argparse

from launcher.cluster import open_cluster
from launcher.commands.arguments import add_pipeline_arguments
from launcher.findings import findings, notes
from launcher.grace import preflight
from launcher.pipeline import load_pipeline
from launcher.plan import make_plan
from launcher.show.console import open_screen
from launcher.show.grace import tell_preflight
from launcher.show.plan import plan_json, show_plan

DESCRIPTION = """\
  launcher plan pipeline.yaml
  launcher plan pipeline.yaml --set cluster.nodes=2 --json

Shows the stages in order, with their nodes, GPUs, expected wall-clock and GPU-hours.
What would keep it from being submitted is listed below: files that are missing, and weights to
reuse that do not fit the model. Told as warnings: where a job that is told to stop would not get
the time to save.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `launcher plan`."""
    parser.description = DESCRIPTION
    add_pipeline_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Shows the plan; what would keep it from being submitted are findings, not faults."""
    pipeline = load_pipeline(args.pipeline, args.set)
    plan, (_, found) = make_plan(pipeline), findings(pipeline)
    screen = open_screen(args)
    if args.json:
        screen.json(plan_json(pipeline, plan, found))
    else:
        show_plan(screen, pipeline, plan, found)
    for note in notes(pipeline):
        screen.say(note)
    tell_preflight(screen, preflight(pipeline, open_cluster))
    return 0
