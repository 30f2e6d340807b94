"""`launcher plan`: what would run, how long, how many GPU-hours, and what is to be expected."""

import argparse
import time

from launcher.cluster import open_cluster
from launcher.commands.arguments import add_pipeline_arguments
from launcher.commands.foreseeing import add_foresight_arguments, wanted
from launcher.disk import look_at_disk
from launcher.findings import findings, notes
from launcher.grace import preflight
from launcher.outlook import look_ahead
from launcher.pipeline import Pipeline, load_pipeline
from launcher.plan import make_plan
from launcher.queues import ask_queues
from launcher.remember import remember
from launcher.show.ahead import show_ahead
from launcher.show.console import open_screen
from launcher.show.foresight_json import ahead_json
from launcher.show.grace import tell_preflight
from launcher.show.plan import plan_json, show_findings, show_plan
from launcher.sizes import compare_sizes

DESCRIPTION = """\
  launcher plan pipeline.yaml
  launcher plan pipeline.yaml --set cluster.nodes=2 --json
  launcher plan pipeline.yaml --preemptions 4/day --save 60s --restart 3m
  launcher plan pipeline.yaml --failures llama3 --nodes 2,4,8

Shows the stages in order, with their nodes, GPUs, expected wall-clock and GPU-hours: by earlier
runs of this pipeline, else by `expect`. Names the critical path, asks Slurm when it would start
the stages, and says what room checkpoints need.
What would keep it from being submitted is listed below: files that are missing, and weights to
reuse that do not fit the model. Told as warnings: where a job that is told to stop would not get
the time to save.
With --preemptions or --failures it simulates the run: when it is done, where the time goes, how
often to save.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `launcher plan`."""
    parser.description = DESCRIPTION
    add_pipeline_arguments(parser)
    add_foresight_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Shows the plan; what would keep it from being submitted are findings, not faults."""
    pipeline = load_pipeline(args.pipeline, args.set)
    asked, known = wanted(args), remember(pipeline)
    pasts = known.recall(pipeline)
    plan, (_, found) = make_plan(pipeline, pasts), findings(pipeline)
    queues = ask_queues(pipeline, open_cluster, time.time, notices=asked.foresees)
    disk = look_at_disk(pipeline, pasts)
    outlook = look_ahead(plan, asked, pasts, queues) if asked.foresees else None

    def load(nodes: int) -> Pipeline:
        return load_pipeline(args.pipeline, [*args.set, f"cluster.nodes={nodes}"])

    sizes = compare_sizes(pipeline, args.nodes, load, known.recall, asked)
    screen = open_screen(args)
    if args.json:
        ahead = ahead_json(plan, queues, disk, outlook, sizes)
        screen.json(plan_json(pipeline, plan, found) | ahead)
    else:
        show_plan(screen, pipeline, plan)
        show_ahead(screen, asked, queues, disk, outlook, sizes)
        show_findings(screen, found)
    for note in notes(pipeline):
        screen.say(note)
    tell_preflight(screen, preflight(pipeline, open_cluster))
    return 0
