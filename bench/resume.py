"""Runs that are killed and resumed, against undisturbed ones: bit for bit the same or not.

`python -m bench.resume --ranks 2 --kills 3` trains stage 3 of a tiny model (dropout, LoRA, all
kinds of media, accumulation, loader processes) to its end; then again, killed with SIGKILL so
many times: every second kill comes while a save is being written, the others at a random
moment. Identical means: the loss of every step, and the bytes of everything in the final checkpoint
(weights, float32 masters, moments, position).

`--ranks 1 2 4 --zero 0 1 2 3` is the full matrix. `--elastic` resumes each half-done run on
other numbers of ranks, and prints the largest relative difference of a loss. Exit 1 when a case is
not identical, or an elastic one is off by more than 1e-4.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.material import make_material, make_start, mixed_stage, new_run
from jobs.contract.manifest import done_marker, read_manifest
from jobs.contract.paths import RunFolder
from jobs.contract.spec import StageSpec
from tests.jobs.running import Attempt, Material, run_stage, started

ELASTIC_TARGET = 1e-4
SAVE_EVERY = 3
WORKERS = 2


@dataclass(frozen=True)
class Ended:
    """What a run came to.

    Attributes:
        losses: Of each step, exactly.
        digests: Of the files of its final checkpoint.
        seconds: It took, from the first attempt's start to the last one's end.
    """

    losses: dict[int, str]
    digests: dict[str, str]
    seconds: float


def main() -> None:
    """Goes through the cases and prints them."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.resume", description=(__doc__ or "").split("\n", 1)[0]
    )
    parser.add_argument("--ranks", type=int, nargs="+", default=[2])
    parser.add_argument("--zero", type=int, nargs="+", default=[1], choices=[0, 1, 2, 3])
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--elastic", action="store_true", help="the elastic matrix as well")
    args = parser.parse_args()
    draws, is_good = random.Random(args.seed), True
    with tempfile.TemporaryDirectory(prefix="bench-resume-") as folder:
        root = Path(folder)
        material = make_material(root)
        start = make_start(root, material)
        identical = cases = 0
        for ranks in args.ranks:
            for zero in args.zero:
                spec = spec_of(material, zero)
                whole, told = compare(root, start, spec, ranks, args.kills, draws)
                cases, identical = cases + 1, identical + whole
                print(f"ranks {ranks} zero {zero} kills {args.kills}: {told}", flush=True)
        print(f"cases {cases} identical {identical}")
        is_good = identical == cases
        if args.elastic:
            is_good = elastic(root, start, material, args.zero) and is_good
    sys.exit(0 if is_good else 1)


def spec_of(material: Material, zero: int) -> StageSpec:
    """The stage to train."""
    checkpoint = {"every": SAVE_EVERY, "keep": 100}
    return mixed_stage(material, zero_stage=zero, workers=WORKERS, checkpoint=checkpoint)


def compare(
    root: Path, start: RunFolder, spec: StageSpec, ranks: int, kills: int, draws: random.Random
) -> tuple[bool, str]:
    """Whether a disturbed run ends as an undisturbed one, and the same in words."""
    straight = new_run(root, start)
    began = time.monotonic()
    undisturbed = ended(straight, spec, [run_stage(straight, spec, ranks=ranks)], began)
    disturbed, killed_at = with_kills(
        new_run(root, start), spec, ranks, kills, undisturbed.seconds, draws
    )
    losses = sum(undisturbed.losses[step] != loss for step, loss in disturbed.losses.items())
    files = sorted(
        name for name, digest in undisturbed.digests.items() if disturbed.digests[name] != digest
    )
    is_same = not losses and not files and undisturbed.losses.keys() == disturbed.losses.keys()
    verdict = "identical" if is_same else f"{losses} losses and {files or 'no file'} differ"
    steps = len(undisturbed.losses)
    return is_same, f"{steps} steps, killed at {', '.join(killed_at)}: {verdict}"


def with_kills(
    run: RunFolder, spec: StageSpec, ranks: int, kills: int, usual_s: float, draws: random.Random
) -> tuple[Ended, list[str]]:
    """A run that is killed so many times, and where."""
    attempts, killed_at = list[Attempt](), list[str]()
    began = time.monotonic()
    while len(killed_at) < kills:
        with started(run, spec, ranks=ranks) as attempt:
            attempt.wait_until(lambda: attempt.story.total_steps)
            first, total = attempt.story.first_step or 0, attempt.story.total_steps or 0
            furthest = first + (total - first) // (kills - len(killed_at) + 1)
            attempt.wait_for("step", draws.randint(first + 1, max(first + 1, furthest)))
            if len(killed_at) % 2 == 0:
                attempt.wait_until(partial(is_saving, attempt))
            else:
                time.sleep(draws.uniform(0, usual_s / total))
            if attempt.has_ended():
                raise SystemExit("the run ended before it could be killed; give it more epochs")
            attempt.kill()
            attempt.wait()
            in_a_save = " in a save" if is_saving(attempt) else ""
        step = attempt.story.last_step
        killed_at.append(f"step {step}{in_a_save}")
        attempts.append(attempt)
    attempts.append(run_stage(run, spec, ranks=ranks))
    return ended(run, spec, attempts, began), killed_at


def is_saving(attempt: Attempt) -> bool:
    """Whether an attempt is writing a checkpoint, or was when it was killed."""
    return any(attempt.folder.checkpoints.glob(f".step-*.{attempt.key}.*"))


def ended(run: RunFolder, spec: StageSpec, attempts: list[Attempt], began: float) -> Ended:
    """What the attempts have come to; ends the program where the last one did not end well."""
    last = attempts[-1]
    if set(last.codes) != {0}:
        sys.exit(f"the run ended with {last.codes}:\n{last.log(0)[-3000:]}")
    done = done_marker(run.stage(spec.stage).checkpoints, digests=True)
    if done is None:
        sys.exit(f"{run.root}: no valid final checkpoint")
    told = [event.fields for attempt in attempts for event in attempt.events("step")]
    return Ended(
        {fields["step"]: float(fields["loss"]).hex() for fields in told},
        {file.name: file.sha256 for file in done[1].files},
        time.monotonic() - began,
    )


def elastic(root: Path, start: RunFolder, material: Material, zeros: list[int]) -> bool:
    """Resumes runs of four ranks on one, two and three; prints how far their losses are off."""
    worst = 0.0
    for zero in zeros:
        spec = spec_of(material, zero)
        source = new_run(root, start)
        attempt = run_stage(source, spec, ranks=4)
        wanted = {event.fields["step"]: event.fields["loss"] for event in attempt.events("step")}
        for ranks in (1, 2, 3):
            run = new_run(root, start)
            half = copy_half(source, run, spec)
            resumed = run_stage(run, spec, ranks=ranks, full_world=4)
            if set(resumed.codes) != {0}:
                sys.exit(f"{ranks} ranks ended with {resumed.codes}:\n{resumed.log(0)[-3000:]}")
            found = {event.fields["step"]: event.fields["loss"] for event in resumed.events("step")}
            off = max(abs(found[step] / wanted[step] - 1) for step in found)
            worst = max(worst, off)
            print(f"zero {zero}: 4 ranks to {ranks} after step {half}: {off:.1e}", flush=True)
    print(f"largest relative difference {worst:.1e} (allowed: {ELASTIC_TARGET})")
    return worst <= ELASTIC_TARGET


def copy_half(source: RunFolder, run: RunFolder, spec: StageSpec) -> int:
    """Copies the checkpoint in the middle of a run; gives its step."""
    checkpoints = source.stage(spec.stage).checkpoints
    folders = sorted(path for path in checkpoints.glob("step-*") if "final" not in path.name)
    middle = folders[len(folders) // 2]
    shutil.copytree(middle, run.stage(spec.stage).checkpoints / middle.name)
    manifest = read_manifest(middle)
    if manifest is None:
        sys.exit(f"{middle}: no manifest")
    return manifest.step


if __name__ == "__main__":
    main()
