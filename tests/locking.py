"""One maker at a time for files that all tests share, whichever process runs them."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def one_at_a_time(shared: Path) -> Iterator[None]:
    """Keep the other test processes out while this one makes what lies at `shared`."""
    shared.parent.mkdir(parents=True, exist_ok=True)
    with shared.with_name(f".{shared.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
