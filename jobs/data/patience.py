"""Reads a file for so long and no longer.

A decoder that hangs, on a damaged file, a pipe or a disk that does not answer, hangs in C, where
nothing in Python interrupts it. So reading happens in a thread that can be left behind: the
decoders let go of the interpreter's lock while they work. What is left behind holds its memory
until the process ends, which it does not keep from ending.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from jobs.data.errors import UnreadableClipError

LOOK_EVERY_S = 0.25

Result = TypeVar("Result")


def never() -> bool:
    """Says that it is not over."""
    return False


def read_in_time(
    read: Callable[[], Result],
    path: Path,
    timeout_s: float,
    is_over: Callable[[], bool] = never,
) -> Result:
    """What `read` gives, or raises.

    Args:
        read: reads the file.
        path: the file, for the error.
        timeout_s: how long it may take.
        is_over: whether nobody waits for it any more; asked a few times a second.

    Raises:
        UnreadableClipError: it has taken longer; the class of the error is `Timeout`. Or nobody
            waits for it: `Over`.
    """
    if is_over():
        raise UnreadableClipError(path, "Over", "nobody waits for it any more")
    results: list[Result] = []
    errors: list[Exception] = []

    def work() -> None:
        try:
            results.append(read())
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            errors.append(error)

    thread = threading.Thread(target=work, name=f"reads {path.name}", daemon=True)
    thread.start()
    end_s = time.monotonic() + timeout_s
    while thread.is_alive() and time.monotonic() < end_s and not is_over():
        thread.join(min(LOOK_EVERY_S, max(0.0, end_s - time.monotonic())))
    if errors:
        raise errors[0]
    if not results and is_over():
        raise UnreadableClipError(path, "Over", "nobody waits for it any more")
    if not results:
        raise UnreadableClipError(path, "Timeout", f"not read within {timeout_s:g} s")
    return results[0]
