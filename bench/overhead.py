"""What the trainer costs beside the model: its step against that of a bare loop.

`python -m bench.overhead` trains stage 3 with `jobs.trainer.train` as it is (data from two loader
processes, agreement of the ranks, curves and events, saves, the finite-loss watch), and in turn,
in the same processes, in a bare loop: the same DeepSpeed engine, the same module, the same
batches, which lie in memory: forward, backward, step, nothing else. A step lasts from one first
forward pass to the next. The blocks go there and back (trainer, bare, bare, trainer, ...); each
step number has its median over them, and the ratio is that of the sums.

Beside it: the same for the processor time of the rank's own process, which other programs on
the machine disturb less, and the share of the time that the trainer waited for data.

Goes through a long step, as a real one, and a tiny one, which shows the cost in milliseconds; on
one rank and on two. Exits 1 where a long step of the trainer is over 1.02 of the bare one, or
where it waited for data for more than 0.05 of the time.
"""

import argparse
import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

TARGET = 1.02
WAIT_TARGET = 0.05
SIZES = ("long", "tiny")


def main() -> int:
    """Starts the ranks of each case, or is one of them."""
    args = _arguments()
    if args.rank is not None:
        return be_rank(args)
    print(f"{os.cpu_count()} cores; load before: {os.getloadavg()[0]:.2f}", flush=True)
    codes = []
    with tempfile.TemporaryDirectory(prefix="bench-overhead-") as folder:
        from bench.material import make_material  # noqa: PLC0415 - the ranks need none of it

        material = make_material(Path(folder))
        for ranks in args.ranks:
            for size in args.sizes:
                root = Path(folder) / f"{size}-{ranks}"
                own = [f"--folder={root}", f"--clips={material.clips}", f"--size={size}"]
                own += [f"--tokenizer={material.tokenizer}", f"--of={ranks}"]
                codes.append(run_ranks(ranks, [*own, *_passed_on(args)]))
    print(f"load after: {os.getloadavg()[0]:.2f}; wanted of long steps: at most {TARGET} of a bare "
          f"one, at most {WAIT_TARGET:.0%} of the time waited for data")  # fmt: skip
    return max(codes, key=abs)


def run_ranks(ranks: int, own: list[str]) -> int:
    """Runs so many of them to their end; gives the worst of their exit codes."""
    command = [sys.executable, "-m", "bench.overhead", "--token", secrets.token_hex(4), *own]
    env = os.environ | {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
    started = [subprocess.Popen([*command, f"--rank={rank}"], env=env) for rank in range(ranks)]
    return max((process.wait() for process in started), key=abs)


def be_rank(args: argparse.Namespace) -> int:
    """One rank; rank 0 prints, and its exit code says whether what is wanted is met."""
    from bench.looping import Loops, ratio  # noqa: PLC0415 - the parent needs none of it

    loops = Loops(args.folder, args.token, args.rank, args.of)
    loops.build(args.size, args.clips, args.tokenizer, steps=args.steps, workers=args.workers)
    for block in range(args.blocks):
        pair = [loops.with_trainer, loops.bare]
        for loop in pair if block % 2 == 0 else reversed(pair):
            loop()
    if args.rank:
        return 0
    wall, cpu = (
        ratio([block[kind] for block in loops.trained], [block[kind] for block in loops.bared])
        for kind in ("wall_s", "cpu_s")
    )
    waited = sum(loops.shares) / len(loops.shares)
    print(
        f"{args.of} rank(s), {args.size} step: trainer {wall.ours_s * 1e3:.1f} ms, bare "
        f"{wall.bare_s * 1e3:.1f} ms, ratio {wall.ratio:.3f} (block by block {wall.lowest:.3f} to "
        f"{wall.highest:.3f}, n={args.blocks} blocks of {wall.steps} steps); processor time "
        f"{cpu.ours_s * 1e3:.1f} and {cpu.bare_s * 1e3:.1f} ms, ratio {cpu.ratio:.3f}; waited for "
        f"data {waited:.2%}",
        flush=True,
    )
    reached = wall.ratio <= TARGET and waited <= WAIT_TARGET
    return 0 if args.size != "long" or reached else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.overhead",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--sizes", nargs="+", default=SIZES, choices=SIZES)
    parser.add_argument("--blocks", type=int, default=6, help="of each loop")
    parser.add_argument("--steps", type=int, default=14, help="of a block")
    parser.add_argument("--workers", type=int, default=2, help="loader processes a rank")
    for name in ("--folder", "--clips", "--tokenizer"):
        parser.add_argument(name, type=Path, help=argparse.SUPPRESS)
    for name in ("--rank", "--of"):
        parser.add_argument(name, type=int, help=argparse.SUPPRESS)
    for name in ("--token", "--size"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    return parser.parse_args()


def _passed_on(args: argparse.Namespace) -> list[str]:
    return [f"--{name}={getattr(args, name)}" for name in ("blocks", "steps", "workers")]


if __name__ == "__main__":
    sys.exit(main())
