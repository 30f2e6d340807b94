"""`launcher data`: what a corpus holds, and what is wrong with it."""

import argparse
from pathlib import Path

from pydantic import ValidationError

from jobs.contract.spec import DataSet
from launcher.commands.arguments import whole_number
from launcher.corpus import CheckedSet, WantedSet, check, sets_of
from launcher.errors import UsageError
from launcher.pipeline import load_pipeline
from launcher.show.console import Screen, open_screen
from launcher.show.corpus import corpus_json, show_corpus

DESCRIPTION = """\
  launcher data check pipeline.yaml --stage stage3
  launcher data check data/anno/train.json --media data/videos --all --decode 20

Reads every row of every annotation file of a pipeline, or of one file, and looks for its media:
up to 2000 a set, spread over it; `--all` looks for each. Shows what the sets hold and the first
20 faults of each, with row (from 0) and field. The indexes that the jobs read rows by are built
on the way.
"""
EXIT_CODES = {0: "no fault was found", 1: "there is a fault, or a set could not be checked"}
_YEAR_MIN = 525_600
PIPELINES = (".yaml", ".yml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `launcher data`."""
    parser.description = DESCRIPTION
    parser.add_argument("what", choices=["check"], help="check FILE")
    parser.add_argument("file", type=Path, metavar="FILE", help="a pipeline or annotation file")
    pipeline = parser.add_argument_group("a pipeline file (.yaml)")
    pipeline.add_argument("--stage", metavar="STAGE", help="only the sets of this stage")
    pipeline.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="put over the file's"
    )
    single = parser.add_argument_group("an annotation file")
    single.add_argument("--media", type=Path, metavar="FOLDER", help="where its media paths start")
    single.add_argument(
        "--kind",
        choices=["image", "video", "gif", "frames", "text"],
        help="what it holds, where its rows do not say",
    )
    single.add_argument("--fps", type=float, help="pictures a second of folders of frames")
    parser.add_argument("--all", action="store_true", help="look for every media file")
    parser.add_argument(
        "--decode", type=whole_number, default=0, metavar="N", help="decode N files of each set"
    )
    parser.add_argument(
        "--timeout", type=_minutes, default=60, metavar="MIN", help="minutes for each set (60)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _minutes(text: str) -> float:
    """A time to wait."""
    minutes = float(text) if text.replace(".", "", 1).isdecimal() else 0.0
    if not 0 < minutes <= _YEAR_MIN:
        raise argparse.ArgumentTypeError(f"{text}: give a number of minutes, more than 0")
    return minutes


def run(args: argparse.Namespace) -> int:
    """Checks set after set; 1 where one has a fault."""
    wanted = _of_pipeline(args) if args.file.suffix in PIPELINES else [_of_file(args)]
    screen = open_screen(args)
    checked = [
        _check(screen, args, one, f"{at} of {len(wanted)}") for at, one in enumerate(wanted, 1)
    ]
    found = corpus_json(checked)
    if args.json:
        screen.json(found)
    else:
        show_corpus(screen, checked)
    return 0 if found["ok"] else 1


def _check(screen: Screen, args: argparse.Namespace, wanted: WantedSet, place: str) -> CheckedSet:
    screen.say(f"set {place}: {wanted.data.annotations}")
    options = ["--decode", str(args.decode), *(["--all"] if args.all else [])]
    return check(wanted, options=options, timeout_s=60 * args.timeout)


def _of_pipeline(args: argparse.Namespace) -> list[WantedSet]:
    for option in ("media", "kind", "fps"):
        if getattr(args, option) is not None:
            raise UsageError(
                f"launcher data check: --{option} is for an annotation file; in a pipeline file "
                f"give `{option}` beside `annotations`"
            )
    pipeline = load_pipeline(args.file, args.set)
    known = [stage.name for stage in pipeline.stages]
    if args.stage is not None and args.stage not in known:
        raise UsageError(f"{args.file}: no stage '{args.stage}'; known: {', '.join(known)}")
    wanted = [one for one in sets_of(pipeline) if args.stage in (None, one.stage)]
    if not wanted:
        raise UsageError(f"{args.file}: no stage reads an annotation file; name such a file itself")
    return wanted


def _of_file(args: argparse.Namespace) -> WantedSet:
    if args.stage or args.set:
        raise UsageError(
            f"launcher data check: --stage and --set are for a pipeline file ({PIPELINES[0]}), "
            f"{args.file} is taken for annotations"
        )
    try:
        data = DataSet(
            annotations=args.file.absolute(), media=args.media, kind=args.kind, fps=args.fps
        )
    except ValidationError as error:
        fault = error.errors()[0]
        option = f"--{fault['loc'][0]}: " if fault["loc"] else ""
        what = fault["msg"].removeprefix("Value error, ").replace("Input should", "must")
        raise UsageError(f"launcher data check: {option}{what}") from error
    return WantedSet("", args.file.stem, data)
