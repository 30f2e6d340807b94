"""Runs a function in several ranks, real processes that meet over gloo.

    in_ranks(work, 2, folder, "more")  # work(0, folder, "more") and work(1, folder, "more")

Gloo's threads let go of tensors when they get to it, also after the process group is destroyed; for
that they need Python, and where it is already ending they abort the process (PyTorch 179291). So a
rank ends without Python's own end, as those of `jobs` do.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from typing import NoReturn

from torch import distributed
from torch.multiprocessing.spawn import spawn


def in_ranks(work: Callable[..., None], ranks: int, *arguments: object) -> None:
    """Calls `work(rank, *arguments)` in each, and waits for them all.

    Raises:
        Exception: What a rank raised, with its traceback, or that it was killed.
    """
    with tempfile.TemporaryDirectory() as folder:
        spawn(_rank, (ranks, f"file://{folder}/meet", work, arguments), nprocs=ranks)


def _rank(
    rank: int, ranks: int, meet: str, work: Callable[..., None], arguments: tuple[object, ...]
) -> None:
    distributed.init_process_group("gloo", meet, rank=rank, world_size=ranks)
    work(rank, *arguments)
    distributed.barrier()  # a rank that leaves takes its connections with it
    leave()


def leave() -> NoReturn:
    """Ends a rank that has done its work."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
