"""What the trainer costs beside the model: its step against that of a bare loop.

`python -m bench.overhead` trains stage 3 with `jobs.trainer.train` as it is (data from two loader
processes, agreement of the ranks, curves and events, saves, the finite-loss watch), and in turn,
in the same processes, in a bare loop: the same DeepSpeed engine, the same module, the same
batches, which lie in memory: forward, backward, step, nothing else. A step lasts from one first
forward pass to the next. The loops take turns in blocks, there and back; each step number has
its median over the blocks, and the ratio is that of the sums.

The bare loop runs in two ways. Beside idle cores: that ratio also holds what the loader's
processes take from the cores where there is none to spare, and it is no trainer's doing. Beside
loaders: another process has the same data loaded at the same pace, for nobody; that ratio is the
trainer's own. With cores for the loaders (ranks x 3 or more) the two are the same.

Goes through a long step, as a real one, and a tiny one, which shows the cost in milliseconds; on
one rank and on two. Exits 1 where a long step of the trainer is over 1.02 of the bare one beside
loaders (or, with cores to spare, of that beside idle cores), or where it waited for data for more
than 0.05 of the time.
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
        turn = [loops.with_trainer, loops.bare, loops.bare_beside]
        for loop in turn if block % 2 == 0 else reversed(turn):
            loop()
    loops.end()
    if args.rank:
        return 0
    waited = sum(loops.shares) / len(loops.shares)
    print(f"{args.of} rank(s), {args.size} step; waited for data {waited:.2%} of the time")
    ratios = []
    for name, blocks in (("idle cores", loops.bared), ("loaders", loops.beside)):
        wall, cpu = (
            ratio([block[kind] for block in loops.trained], [block[kind] for block in blocks])
            for kind in ("wall_s", "cpu_s")
        )
        ratios.append(wall.ratio)
        print(
            f"  beside {name}: trainer {wall.ours_s * 1e3:.1f} ms, bare {wall.bare_s * 1e3:.1f} "
            f"ms, ratio {wall.ratio:.3f} (block by block {wall.lowest:.3f} to {wall.highest:.3f}, "
            f"n={args.blocks} blocks of {wall.steps} steps); processor time "
            f"{cpu.ours_s * 1e3:.1f} and {cpu.bare_s * 1e3:.1f} ms, ratio {cpu.ratio:.3f}",
            flush=True,
        )
    has_cores = (os.cpu_count() or 1) >= args.of * (1 + args.workers)
    reached = ratios[0 if has_cores else 1] <= TARGET and waited <= WAIT_TARGET
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
