"""How long a save holds the training, against a synchronous save of the same state.

`python -m bench.save --gigabytes 1.2 --ranks 4`: the ranks hold a state of that size (float32
masters and Adam's moments) in DeepSpeed's ZeRO stage 1. In turn, in one run, they save it

- held: as the trainer does; what is timed is the copy, after which training goes on;
- whole: the same, waited for, so what the training would be held without a thread;
- DeepSpeed: `save_checkpoint`, after which each rank puts its files on the disk (fsync), as the
  others do; it makes no digests.

All times are those of the slowest rank. Exit 1 when held / whole is over 0.1. Beside it: a step
without a save and one while a save is being written.
"""

import argparse
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

TARGET = 0.1
LAYERS = 24
BYTES_A_WEIGHT = 12
STEP_ROWS = 64


def main() -> None:
    """Starts the ranks, or is one of them."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.save", description=(__doc__ or "").split("\n", 1)[0]
    )
    parser.add_argument("--gigabytes", type=float, default=1.2, help="size of the whole state")
    parser.add_argument("--ranks", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to save (default: a temporary folder)")
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--token", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.rank is not None:
        sys.exit(be_rank(args))
    with tempfile.TemporaryDirectory(prefix="bench-save-", dir=args.folder) as folder:
        command = [sys.executable, "-m", "bench.save", "--token", secrets.token_hex(4)]
        command += [f"--gigabytes={args.gigabytes}", f"--ranks={args.ranks}"]
        command += [f"--repeats={args.repeats}", f"--folder={folder}"]
        env = os.environ | {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
        ranks = [
            subprocess.Popen([*command, f"--rank={rank}"], env=env) for rank in range(args.ranks)
        ]
        codes = [rank.wait() for rank in ranks]
    sys.exit(max(codes, key=abs))


def be_rank(args: argparse.Namespace) -> int:
    """One rank; rank 0 prints, and its exit code says whether the target is met."""
    import torch.distributed as dist  # noqa: PLC0415 - the parent needs none of it

    from bench.saving import Ranks  # noqa: PLC0415

    ranks = Ranks(args.folder, args.token, args.rank, args.ranks)
    ranks.build(round(args.gigabytes * 1e9 / BYTES_A_WEIGHT), LAYERS, STEP_ROWS)
    ways: dict[str, Callable[[], float]] = {
        "held": ranks.held,
        "whole": ranks.whole,
        "DeepSpeed": ranks.deepspeed,
    }
    taken: dict[str, list[float]] = {name: [] for name in (*ways, "step", "step while writing")}
    for _ in range(args.repeats + 1):
        for name, way in ways.items():
            taken[name].append(ranks.slowest(way()))
        taken["step"].append(ranks.slowest(ranks.step()))
        taken["step while writing"].append(ranks.slowest(ranks.step_while_writing()))
    dist.barrier()
    if args.rank:
        return 0
    print(f"{ranks.size / 1e9:.2f} GB over {args.ranks} ranks, load {os.getloadavg()[0]:.1f}")
    print(f"first save: held {taken['held'][0]:.2f} s")
    for name, seconds in taken.items():
        later = seconds[1:]
        print(
            f"{name}: {median(later):.3f} s ({min(later):.3f} to {max(later):.3f}, n={len(later)})"
        )
    ratio = median(taken["held"][1:]) / median(taken["whole"][1:])
    other = median(taken["held"][1:]) / median(taken["DeepSpeed"][1:])
    print(f"held / whole: {ratio:.3f} (to reach: {TARGET}); held / DeepSpeed: {other:.3f}")
    return 0 if ratio <= TARGET else 1


if __name__ == "__main__":
    main()
