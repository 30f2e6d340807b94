r"""Encodes the clips of a corpus once, so that training reads them at a fraction of the cost.

`python -m jobs.data.prepare data/anno/*.json --media data/videos --out data/small` writes under
`data/small` every media file that the annotation files name, under the same path below the root:
the annotation files serve as they are, and a pipeline file changes in one word, `media:
data/small`. Videos become H.264 in mp4, whatever the ending of their names says, with the short
side 256 and a key frame each 16 frames, and without sound; each frame is shown when it was.
Pictures, GIFs and folders of frames are linked (or copied) as they are, and so is a video that
cannot be read (it stays the bad clip that it was) or of which nothing faithful can be made. What
took too long, or failed with the disk, is missing there until another call.

It may be killed at any time and started again: what is done is not done again. Several processes
share the work where RANK and WORLD_SIZE say so, as in a stage of a pipeline:

    prepare:
      command:
        argv: ["{python}", -m, jobs.data.prepare, data/anno/train.json,
               --media, data/videos, --out, data/small]
        checkpoints: none
        progress: '(?P<step>\d+)/(?P<total>\d+) media'
    stage2:
      needs: [prepare]
      ...

Exit codes: 0 done; 1 too many clips cannot be read, or writing fails; 2 command line, annotations,
or a folder that holds something else; 75 told to stop, start it again.
"""

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import sqrt
from pathlib import Path

from jobs.contract.exits import DONE, STOPPED
from jobs.data.errors import DataError
from jobs.data.preparing.encoding import Recipe, StoppedError, WritingError
from jobs.data.preparing.share import Share, Shelf, media_of
from jobs.data.preparing.work import Preparing, Tally, say

FAILED, USAGE = 1, 2
SHOWN_BAD = 20
CHANCE = 3.0
"""Standard deviations."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; exit codes as the module says."""
    args = _parser().parse_args(argv)
    recipe = Recipe(args.short_side, args.gop, args.crf)
    share = Share(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))
    preparing = Preparing(Shelf(args.media, args.out), recipe)
    try:
        with _stopped_by_signals(preparing):
            _refuse_folders(args.media, args.out)
            media = media_of(args.annotations, share)
            preparing.shelf.begin(recipe)
            tally = preparing.run(media, args.workers or default_workers())
    except DataError as error:
        say(f"error: {error}")
        return USAGE
    except WritingError as error:
        say(f"error: {error}; make room, then start it again: what is done stays done")
        return FAILED
    except StoppedError:
        say("told to stop; start it again to go on")
        return STOPPED
    return judge(tally, args.max_bad, alone=share.world_size == 1)


@contextmanager
def _stopped_by_signals(preparing: Preparing) -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)
    before = [signal.signal(number, lambda *_: preparing.stop()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _refuse_folders(media: Path, out: Path) -> None:
    if not media.is_dir():
        raise DataError(
            f"--media {media} is not a folder; give the one that media paths start from"
        )
    if media.resolve() == out.resolve():
        raise DataError(f"--out {out} is the media root itself; give another folder")


def default_workers() -> int:
    """Clips encoded at once: the cores that this process may use, or its share in a job."""
    cores = len(os.sched_getaffinity(0))
    if "WORLD_SIZE" in os.environ:
        return min(cores, int(os.environ.get("OMP_NUM_THREADS", cores)))
    return cores


def judge(tally: Tally, max_bad: float, *, alone: bool) -> int:
    """Tells what has become of them; gives the exit code.

    Args:
        tally: Of this process.
        max_bad: Part of the media that may be unreadable.
        alone: No other process has a part of them.
    """
    for path, problem in list(tally.bad.items())[:SHOWN_BAD]:
        say(f"unreadable: {path}: {problem}")
    if len(tally.bad) > SHOWN_BAD:
        say(f"... and {len(tally.bad) - SHOWN_BAD} more")
    for path, problem in list(tally.raw.items())[:SHOWN_BAD]:
        say(f"left raw: {path}: {problem}")
    sys.stdout.write(f"{tally}\n")
    allowed = max_bad * tally.total
    if not alone:  # one part of many may hold more of the unreadable ones, by chance
        allowed += 1 + CHANCE * sqrt(allowed)
    if len(tally.bad) > allowed:
        say(f"error: {len(tally.bad)} of {tally.total} is more than --max-bad {max_bad:g}")
        return FAILED
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jobs.data.prepare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    recipe = Recipe()
    add = parser.add_argument
    add("annotations", nargs="+", type=Path, help="annotation files: JSON list or JSON lines")
    add("--media", type=Path, required=True, help="folder that their media paths start from")
    add("--out", type=Path, required=True, help="folder to write to; made if missing")
    for name, default, what in (
        ("--short-side", recipe.short_side, "pixels of a clip's short side"),
        ("--gop", recipe.gop, "frames from one key frame to the next"),
        ("--crf", recipe.crf, "x264's quality, lower is better"),
    ):
        add(name, type=_positive, default=default, metavar="N", help=f"{what} (%(default)s)")
    add("--workers", type=_positive, metavar="N", help="clips at once (the cores that there are)")
    add("--max-bad", type=float, default=0.01, metavar="PART", help="unreadable ones (%(default)s)")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
