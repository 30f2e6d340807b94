"""The process's own streams, before anything is shown and after everything is."""

import io
import os
import sys
from contextlib import suppress
from typing import NoReturn


def mend_streams() -> None:
    """Opens the streams that whoever started us has closed, and lets stdout take every letter."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            mode = "r" if number == 0 else "w"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def leave(code: int) -> NoReturn:
    """Ends the process, for who has written stdout and left no thread or file open.

    Python's own end would take apart all that was imported: a fifth of what `status` takes.
    """
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(code)
