"""Reads a file for so long and no longer.

A decoder that hangs, on a damaged file, a pipe or a disk that does not answer, hangs in C, where
nothing in Python interrupts it. So reading happens in a thread that can be left behind: the
decoders let go of the interpreter's lock while they work. What is left behind holds its memory
until the process ends, which it does not keep from ending.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from jobs.data.errors import UnreadableClipError

Result = TypeVar("Result")


def read_in_time(read: Callable[[], Result], path: Path, timeout_s: float) -> Result:
    """What `read` gives, or raises.

    Args:
        read: reads the file.
        path: the file, for the error.
        timeout_s: how long it may take.

    Raises:
        UnreadableClipError: it has taken longer; the class of the error is `Timeout`.
    """
    results: list[Result] = []
    errors: list[Exception] = []

    def work() -> None:
        try:
            results.append(read())
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            errors.append(error)

    thread = threading.Thread(target=work, name=f"reads {path.name}", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if errors:
        raise errors[0]
    if not results:
        raise UnreadableClipError(path, "Timeout", f"not read within {timeout_s:g} s")
    return results[0]
