"""`launcher status`: where the stages of a run stand."""

import argparse
import time
from collections.abc import Callable, Sequence

from rich.console import RenderableType

from db.ledger import Ledger
from db.passes import last_pass, usual_distance_s
from db.queries import count_runs, latest_run_ids
from db.states import RunState
from launcher.cluster import open_cluster
from launcher.commands.arguments import add_run_arguments
from launcher.errors import UsageError
from launcher.look import Looked, look
from launcher.overview import RunLine, run_line
from launcher.runs import find_run, open_ledger
from launcher.show.comma import show_csv
from launcher.show.console import Screen, open_screen
from launcher.show.live import redrawing
from launcher.show.runs import CSV_COLUMNS as RUN_COLUMNS
from launcher.show.runs import runs_json, runs_parts
from launcher.show.status import passes_line, status_parts
from launcher.show.status_data import CSV_COLUMNS, status_json, status_rows

_GOING_ON = (RunState.SUBMITTING, RunState.RUNNING, RunState.HELD)
DESCRIPTION = """\
  launcher status
  launcher status --all --watch

Shows each stage of a run: its state, job, attempts, steps, time, newest checkpoint, and when it
will be done and by what that is known. Brings the ledger up to date first, with at most two
questions to Slurm. --watch redraws until the run has ended (exit code 0 when it is done, 1 when
not; Ctrl-C leaves the run alone). It only looks: `launcher watch` also makes the passes.
"""
EXIT_CODES = {
    0: "shown; with --watch: every stage is done",
    1: "with --watch: a run has ended otherwise",
    130: "with --watch: Ctrl-C; the runs go on",
}
LAST = 20
EVERY_S = 5.0
"""Slurm is not asked more often than that."""
DAY_S = 86_400
INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `launcher status`."""
    parser.description = DESCRIPTION
    add_run_arguments(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--run",
        metavar="ID",
        action="append",
        help="the run, or how its id begins (the newest); may be given again",
    )
    which.add_argument(
        "--all", action="store_true", help="runs in a line each: those that go on, then the newest"
    )
    parser.add_argument(
        "-n", type=_count, metavar="N", help=f"how many runs --all shows, at most ({LAST})"
    )
    parser.add_argument("--watch", action="store_true", help="redraw until the run has ended")
    parser.add_argument(
        "--every",
        type=_seconds,
        metavar="S",
        help=f"seconds between two looks of --watch ({EVERY_S:g}, which is the least for Slurm)",
    )
    parser.add_argument("--no-refresh", action="store_true", help="show the ledger, ask nobody")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON, one object a stage (or run)")
    form.add_argument("--csv", action="store_true", help="print CSV, one line a stage (or run)")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="say how often Slurm was asked"
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: give a number of runs, at least 1")
    return int(text)


def _seconds(text: str) -> float:
    seconds = float(text) if text.replace(".", "", 1).isdecimal() else 0.0
    if not 1 <= seconds <= DAY_S:
        raise argparse.ArgumentTypeError(f"{text}: give a number of seconds, at least 1")
    return seconds


def run(args: argparse.Namespace) -> int:
    """Shows the status; what Slurm does not answer is a warning."""
    _check(args)
    screen, ledger = open_screen(args), open_ledger(args.runs)
    ids = [] if args.all else [find_run(ledger, start).id for start in args.run or [None]]
    chosen = list(dict.fromkeys(ids))

    def see() -> list[Looked]:
        run_ids = chosen or _latest(ledger, args.n or LAST)
        return look(ledger, run_ids, open_cluster, refresh=not args.no_refresh)

    def parts(seen: Sequence[Looked]) -> list[RenderableType]:
        at = None if args.no_refresh else time.time()
        return _all_parts(screen, ledger, seen) if args.all else _parts(screen, ledger, seen, at)

    if args.watch:
        return _watch(screen, see, parts, args.every or EVERY_S)
    seen = see()
    _talk(screen, seen, verbose=args.verbose)
    if args.json or args.csv:
        _show_data(screen, seen, args)
    else:
        screen.result(*parts(seen))
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuses options that mean nothing together."""
    if args.n is not None and not args.all:
        raise UsageError("launcher status: -n says how many runs --all shows; add --all")
    if args.every is not None and not args.watch:
        raise UsageError("launcher status: --every says how often --watch looks; add --watch")
    if args.watch and (args.json or args.csv):
        raise UsageError("launcher status: --watch is for people; leave --json and --csv out")


def _latest(ledger: Ledger, last: int) -> Sequence[str]:
    with ledger.read() as session:
        found = latest_run_ids(session, last)
    if not found:
        find_run(ledger, None)  # says that there is none, and what to type
    return found


def _watch(
    screen: Screen,
    see: Callable[[], list[Looked]],
    parts: Callable[[Sequence[Looked]], list[RenderableType]],
    every_s: float,
) -> int:
    """Shows the status again and again until all runs have ended, or Ctrl-C."""
    try:
        with redrawing(screen) as draw:
            while True:
                seen = see()
                silent = sorted({each.no_answer for each in seen if each.no_answer})
                draw([*parts(seen), *silent], (*(each.news for each in seen), *silent))
                if all(each.has_ended for each in seen):
                    return 0 if all(each.is_done for each in seen) else 1
                is_slurms = any(each.stages[0].cluster == "slurm" for each in seen)
                time.sleep(max(every_s, EVERY_S) if is_slurms else every_s)
    except KeyboardInterrupt:
        return INTERRUPTED


def _parts(
    screen: Screen, ledger: Ledger, seen: Sequence[Looked], at: float | None
) -> list[RenderableType]:
    """The tables of runs, below each other."""
    found: list[RenderableType] = []
    for each in seen:
        found += [""] if found else []
        found += status_parts(
            screen.out,
            each.run,
            each.views,
            at=None if each.no_answer else at,
            passes=_passes(ledger, each),
            foreseen=each.foreseen,
        )
    return found


def _all_parts(screen: Screen, ledger: Ledger, seen: Sequence[Looked]) -> list[RenderableType]:
    with ledger.read() as session:
        known = count_runs(session)
    return runs_parts(screen.out, _lines(seen), known=known)


def _lines(seen: Sequence[Looked]) -> list[RunLine]:
    return [run_line(each.run, each.views, each.foreseen) for each in seen]


def _show_data(screen: Screen, seen: Sequence[Looked], args: argparse.Namespace) -> None:
    if args.all:
        rows = runs_json(_lines(seen))
        columns: Sequence[str] = RUN_COLUMNS
    else:
        views = [view for each in seen for view in each.views]
        rows = status_json(views) if args.json else status_rows(views)
        columns = CSV_COLUMNS
    if args.json:
        screen.json(rows)
    else:
        show_csv(screen, columns, rows)


def _passes(ledger: Ledger, seen: Looked) -> str:
    """How long ago the last good pass was; nothing about a run that has ended or is here."""
    if seen.stages[0].cluster == "local" or seen.run.state not in _GOING_ON:
        return ""
    with ledger.read() as session:
        last, usual_s = last_pass(session, good=True), usual_distance_s(session)
    return passes_line(last.ended_at if last else None, seen.run.created_at, time.time(), usual_s)


def _talk(screen: Screen, seen: Sequence[Looked], *, verbose: bool) -> None:
    for silent in dict.fromkeys(each.no_answer for each in seen if each.no_answer):
        screen.warn(f"{silent}; the states below are from the last time it answered")
    if verbose:
        screen.say(f"scheduler queries: {sum(each.queries for each in seen)}")
