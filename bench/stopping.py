"""From a stop signal to the end of the job: `python -m bench.stopping --times 20`.

Trains a language model, on two ranks that save each three steps, and sends SIGTERM to both at a
random moment: in turn within a step, while a save is being written, and before the first step.
The next attempt goes on from where that one stopped. For each it prints the seconds from the
signal until the last rank was gone, and at the end the median and the longest.

A stop is good when both ranks end with 75 and the newest checkpoint, read again with its
digests, is that of the last step that was done: the one that the end tells, or before the first
step the one that the attempt began with. Exits 1 when one is not.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

from jobs.contract import exits
from jobs.contract.manifest import checkpoint_folders, newest_valid
from jobs.contract.paths import RunFolder
from jobs.contract.spec import StageSpec
from jobs.data.synthetic import make_set
from jobs.data.tokenizer import build_tokenizer
from tests.jobs.running import TINY, Attempt, Material, started

IN_STEP, IN_SAVE, BEFORE = "in a step", "in a save", "before the first step"
MOMENTS = (IN_STEP, IN_SAVE, BEFORE)
SAVE_EVERY = 3
FIRST_START_S = 4.0
"""Taken for the time until the first step while none was seen."""
USUAL_STEP_S = 0.5
SAVE_S = 0.2
"""How far into a save the signal may come, seconds."""


@dataclass(frozen=True)
class Stop:
    """One of them.

    Attributes:
        moment: When the signal came.
        seconds: From it to the end of the last rank.
        step: That is safe now.
        start_s: From the beginning of the process to its first step; None: it had none.
        fault: What is wrong; empty: nothing.
    """

    moment: str
    seconds: float
    step: int
    start_s: float | None = None
    fault: str = ""


def main() -> int:
    """Stops so many attempts and prints them; 1 where one did not end well."""
    args = _arguments()
    draws, stops, start_s = random.Random(args.seed), list[Stop](), FIRST_START_S
    print(f"{args.ranks} ranks; load before: {os.getloadavg()[0]:.2f}", flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-stopping-", dir=args.folder) as folder:
        root = Path(folder)
        spec, run = specification(root, args.width, args.layers), RunFolder(root / "run")
        for number, moment in enumerate(islice(cycle(MOMENTS), args.times), 1):
            last = stop(run, spec, args.ranks, moment, draws.uniform(0, 1), start_s)
            stops.append(last)
            start_s = last.start_s or start_s
            print(
                f"{number:3}. {moment:21} {last.seconds:6.2f} s, step {last.step} is safe"
                f"{f': {last.fault}' if last.fault else ''}",
                flush=True,
            )
        newest = newest_valid(run.stage("s").checkpoints, digests=False)
        size = 0 if newest is None else newest[1].bytes
    print(f"a checkpoint is {size / 1e6:.0f} MB; load after: {os.getloadavg()[0]:.2f}")
    return tell(stops)


def specification(root: Path, width: int, layers: int) -> StageSpec:
    """A stage that needs no parent and never comes to its end."""
    make_set(root / "clips", train=32, test=1, seed=0)
    build_tokenizer().save_pretrained(root / "tokenizer")
    rows = json.loads((root / "clips/train_qa.json").read_text(encoding="utf-8"))
    texts = json.dumps([{"QA": row["QA"]} for row in rows])
    (root / "clips/text.json").write_text(texts, encoding="utf-8")
    material = Material(root / "clips", root / "tokenizer")
    checkpoint = {"every": SAVE_EVERY, "keep": 2}
    parts = material.train("language_model", "text.json", epochs=10_000, checkpoint=checkpoint)
    made = material.spec("s", **parts)
    sizes = {"width": width, "layers": layers, "heads": 4, "kv_heads": 2, "ffn_width": 4 * width}
    overrides: dict[str, Any] = TINY | {"language_model": {"sizes": sizes}}
    return made.model_copy(update={"model": made.model.model_copy(update={"overrides": overrides})})


def stop(
    run: RunFolder, spec: StageSpec, ranks: int, moment: str, draw: float, start_s: float
) -> Stop:
    """Goes on with the run, stops it, and looks at what is left.

    Args:
        run: Where it was before.
        spec: The stage.
        ranks: How many train it.
        moment: One of `MOMENTS`.
        draw: How far into it the signal comes, 0 to 1.
        start_s: How long a start takes here.
    """
    checkpoints = run.stage(spec.stage).checkpoints
    before = newest_valid(checkpoints, digests=False)
    first = 0 if before is None else before[1].step
    with started(run, spec, ranks=ranks) as attempt:
        _wait_for(attempt, moment, checkpoints, draw, start_s)
        if attempt.has_ended():
            sys.exit(f"it ended before the signal, with {attempt.codes}:\n{attempt.log(0)[-3000:]}")
        sent_at = time.time()
        attempt.send(signal.SIGTERM)
        attempt.wait()
    ended_at = max(path.stat().st_mtime for path in attempt.notes.glob("*.code"))
    newest = newest_valid(checkpoints, digests=True)
    step = 0 if newest is None else newest[1].step
    fault = _fault(attempt, checkpoints, first, step)
    if moment == BEFORE and attempt.story.start_s is not None:
        moment = IN_STEP  # it started faster than the one before
    return Stop(moment, ended_at - sent_at, step, attempt.story.start_s, fault)


def _wait_for(
    attempt: Attempt, moment: str, checkpoints: Path, draw: float, start_s: float
) -> None:
    """Returns at a moment of the kind."""
    if moment == BEFORE:
        attempt.wait_until_listening()
        time.sleep(draw * start_s)
        return
    attempt.wait_until(lambda: attempt.events("step"))
    if moment == IN_STEP:
        steps = draw * SAVE_EVERY
        first: int = attempt.events("step")[0].fields["step"]
        attempt.wait_for("step", first + int(steps))
        time.sleep(steps % 1 * (attempt.story.step_s or USUAL_STEP_S))
        return
    attempt.wait_until(lambda: list(checkpoints.glob(".step-*")))
    time.sleep(draw * SAVE_S)


def _fault(attempt: Attempt, checkpoints: Path, first: int, step: int) -> str:
    """What is wrong with how an attempt ended that began at `first`; empty: nothing."""
    codes, story = attempt.codes, attempt.story
    if set(codes) != {exits.STOPPED}:
        return f"the ranks ended with {codes}, not {exits.STOPPED}: {attempt.log(0)[-500:]}"
    (told,) = attempt.events("exit")
    if told.fields.get("outcome") != "stopped":
        return f"the end is told as {told.fields.get('outcome')}: {told.fields.get('message')}"
    wanted = first if story.last_step is None else story.last_step
    if step != wanted:
        return f"step {wanted} was done, step {step} is the newest that verifies"
    if (said := told.fields.get("step")) not in (None, step):
        return f"the end tells step {said}, step {step} is the newest that verifies"
    names = [path.name for path in checkpoint_folders(checkpoints)]
    aside = [path.name for path in checkpoints.glob(".*")]
    return f"left half-written: {aside} (beside {names})" if aside else ""


def tell(stops: Sequence[Stop]) -> int:
    """Prints the sums; 1 where one did not end well."""
    by_moment: dict[str, list[float]] = defaultdict(list)
    for each in stops:
        by_moment[each.moment].append(each.seconds)
        by_moment["all"].append(each.seconds)
    for name, taken in by_moment.items():
        print(f"{name}: p50 {median(taken):.2f} s, max {max(taken):.2f} s (n={len(taken)})")
    bad = [each for each in stops if each.fault]
    print(f"{len(stops) - len(bad)} of {len(stops)} ended with {exits.STOPPED} and a checkpoint of "
          "their last step that verifies")  # fmt: skip
    return 1 if bad else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.stopping",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--width", type=int, default=384, help="of the language model")
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="a disk's; by default that of temporary files")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
