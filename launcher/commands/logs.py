"""`launcher logs`: what the ranks of a stage print, across its attempts."""

import argparse
import time

from db.ledger import Ledger
from db.schema import StageRun
from db.states import DONE_STATES
from launcher.cluster import open_cluster
from launcher.commands.arguments import add_stage_arguments
from launcher.errors import UsageError
from launcher.logs.attempts import (
    Logged,
    batch_outputs,
    has_ended,
    logged_attempts,
    newest_with_log,
    why_no_log,
)
from launcher.logs.fault import first_fault
from launcher.logs.follow import Following
from launcher.logs.tail import last_lines
from launcher.reconcile.observe import stage_folder
from launcher.reconcile.refresh import QUICK_BYTES, read_run, refresh_run
from launcher.runs import check_stages, find_run, open_ledger
from launcher.show.console import Screen, open_screen
from launcher.show.logs import show_fault, show_following, show_lines, show_outputs

DESCRIPTION = """\
  launcher logs stage2
  launcher logs -f stage2 --all-ranks

Shows the end of a rank's log: of the newest attempt that has one, and of rank 0. Where the attempt
failed, the traceback of the rank that failed first comes first. -f goes on with what is added, and
into the next attempts, until the stage has ended (exit code 0 when it is done, 1 when not).
"""
EXIT_CODES = {
    0: "shown; with -f: the stage is done",
    1: "there is no log; with -f: the stage has ended otherwise",
    130: "with -f: Ctrl-C; the job goes on",
}
LAST = 50
NO_LOG = 1
INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `launcher logs`."""
    parser.description = DESCRIPTION
    add_stage_arguments(parser, several=False)
    parser.add_argument(
        "-f", "--follow", action="store_true", help="go on with what is added, across attempts"
    )
    parser.add_argument(
        "--attempt", type=int, metavar="N", help="its number in launcher history (the newest)"
    )
    ranks = parser.add_mutually_exclusive_group()
    ranks.add_argument("--rank", type=int, metavar="R", help="the rank (0, or the failing one)")
    ranks.add_argument(
        "--all-ranks", action="store_true", help="all ranks, each line with its rank before it"
    )
    parser.add_argument(
        "-n", type=int, default=LAST, metavar="LINES", help=f"how many lines from its end ({LAST})"
    )


def run(args: argparse.Namespace) -> int:
    """Shows the log."""
    if args.follow and args.attempt is not None:
        raise UsageError("launcher logs: -f follows the newest attempt; leave --attempt out")
    screen, ledger = open_screen(args), open_ledger(args.runs)
    run_id = find_run(ledger, args.run).id
    stage = _stage(ledger, run_id, args.stage)
    if args.follow:
        return _follow(screen, ledger, run_id, args)
    attempts = logged_attempts(stage)
    chosen = _chosen(stage, attempts, args.attempt)
    if chosen is None or not chosen.ranks:
        return _tell_why(screen, _look(ledger, run_id, args.stage), chosen, args.n)
    if chosen is not attempts[-1] and args.attempt is None:
        screen.say(f"attempt {attempts[-1].number} has no log yet: {why_no_log(stage)}")
    _show(screen, stage, chosen, args)
    return 0


def _stage(ledger: Ledger, run_id: str, name: str) -> StageRun:
    stages = {row.stage: row for row in read_run(ledger, run_id).stages}
    check_stages(run_id, [name], stages)
    return stages[name]


def _look(ledger: Ledger, run_id: str, name: str) -> StageRun:
    """The stage run after a look at the scheduler."""
    refresh_run(ledger, run_id, open_cluster, clock=time.time, digest_bytes=QUICK_BYTES)
    return _stage(ledger, run_id, name)


def _chosen(stage: StageRun, attempts: list[Logged], number: int | None) -> Logged | None:
    if number is None:
        return newest_with_log(attempts)
    if not 1 <= number <= len(attempts):
        raise UsageError(
            f"stage {stage.stage}: no attempt {number}; it has {len(attempts)}: launcher history"
        )
    return attempts[number - 1]


def _show(screen: Screen, stage: StageRun, chosen: Logged, args: argparse.Namespace) -> None:
    folder, count = stage_folder(stage), max(0, args.n)
    fault = first_fault(folder, chosen.key)
    if fault is not None and args.rank is None and not args.all_ranks:
        show_fault(screen, stage.stage, chosen.name, fault, count)
        return
    if fault is not None:
        screen.say(f"rank {fault.rank} failed first: {fault.message or fault.log}")
    ranks = chosen.ranks if args.all_ranks else (args.rank or 0,)
    for rank in ranks:
        if rank not in chosen.ranks:
            known = f"{chosen.ranks[0]} to {chosen.ranks[-1]}"
            raise UsageError(f"{chosen.name}: rank {rank} has no log; there are ranks {known}")
        path = folder.log_file(chosen.key, rank)
        screen.say(f"{stage.stage}, {chosen.name}, rank {rank}: {path}")
        show_lines(screen, last_lines(path, count), rank if args.all_ranks else None)


def _tell_why(screen: Screen, stage: StageRun, chosen: Logged | None, count: int) -> int:
    """Says why there is no log, and shows what the batch script said instead."""
    what = stage.stage if chosen is None else f"{stage.stage}, {chosen.name}"
    key = chosen.key if chosen else None
    screen.warn(f"{what}: no log: {why_no_log(stage, key)}")
    outputs = batch_outputs(stage, key)
    show_outputs(screen, outputs, count)
    if not outputs and chosen is None and stage.submissions and not has_ended(stage):
        folder = stage_folder(stage).submitit / stage.submissions[-1].token
        screen.say(f"what the batch script says will be in {folder}")
    return NO_LOG


def _follow(screen: Screen, ledger: Ledger, run_id: str, args: argparse.Namespace) -> int:
    following = Following(
        read=lambda: _stage(ledger, run_id, args.stage),
        look=lambda: _look(ledger, run_id, args.stage),
        rank=None if args.all_ranks else args.rank or 0,
        lines=max(0, args.n),
    )
    try:
        show_following(screen, args.stage, following.follow(), ranks=args.all_ranks)
    except KeyboardInterrupt:
        return INTERRUPTED
    stage = _stage(ledger, run_id, args.stage)
    screen.say(f"{args.stage}: {stage.state}" + (f": {stage.why}" if stage.why else ""))
    return 0 if stage.state in DONE_STATES else 1
