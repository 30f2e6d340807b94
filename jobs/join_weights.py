"""Joins weights files into one of ours: what one lacks stands in another.

`python -m jobs.join_weights OUT FILE [FILE ...]`: a file of the original's stage 2 holds no text
branch, which its stage 3 takes from the file of stage 1; here a stage starts from one file.
Where two files hold a weight, the later one counts.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from model.errors import WeightsError
from model.weights import read_tensors, write_tensors


def join(files: Sequence[Path], out: Path) -> None:
    """Writes the weights of all files, by our names, to `out`.

    Raises:
        WeightsError: A file cannot be read, or two hold a weight in different shapes.
    """
    joined: dict[str, Tensor] = {}
    for path in files:
        tensors = read_tensors(path, ("*",))
        for name, value in tensors.items():
            before = joined.get(name, value)
            if before.shape != value.shape:
                raise WeightsError(
                    f"{path}: {name} {list(value.shape)} has the shape {list(before.shape)} in an "
                    "earlier file; join files of one model"
                )
        joined |= tensors
    out.parent.mkdir(parents=True, exist_ok=True)
    # Cloned, because a torch file may keep two weights in one storage.
    write_tensors({name: value.contiguous().clone() for name, value in joined.items()}, out)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; 0, or 1 where the files cannot be joined."""
    parser = argparse.ArgumentParser(
        prog="python -m jobs.join_weights",
        description="Join weights files, of this project or the original, into one.",
    )
    parser.add_argument("out", type=Path, help="safetensors file to write")
    parser.add_argument("files", type=Path, nargs="+", help="the later one counts")
    args = parser.parse_args(argv)
    try:
        join(args.files, args.out)
    except WeightsError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
