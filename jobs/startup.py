"""Where the seconds go between the beginning of a process and its first step."""

import importlib
import os
import time
from pathlib import Path


class Clock:
    """Parts of the start, each from the end of the one before; the first one since it all began.

    Attributes:
        parts: Seconds of each part that has ended, in order: `launch` (interpreter, submitit),
            `imports` (torch, DeepSpeed, transformers), `join` (the ranks find each other),
            `model` (built), `weights` (of the stage before), `data` (tokenizers, annotations),
            `engine` (DeepSpeed's, optimizer; the wait for ranks that come later), `checkpoint`
            (found, verified, loaded), `first_batch` (waited for), `first_step`. A part that nobody
            marks is in the next one.
    """

    def __init__(self) -> None:
        self._last = time.monotonic() - process_age_s()
        self.parts: dict[str, float] = {}

    def mark(self, part: str, *, of_it: dict[str, float] | None = None) -> None:
        """Ends a part.

        Args:
            part: Its name; a second time adds to the first.
            of_it: Seconds of it that belong to parts of their own.
        """
        now = time.monotonic()
        shares = {**(of_it or {}), part: now - self._last - sum((of_it or {}).values())}
        for name, seconds in shares.items():
            self.parts[name] = self.parts.get(name, 0.0) + max(seconds, 0.0)
        self._last = now

    @property
    def total_s(self) -> float:
        """Seconds from the process's beginning to the end of the last part."""
        return sum(self.parts.values())


def process_age_s() -> float:
    """Seconds since this process began, to a hundredth, as the kernel counts them."""
    # The name of the program, in brackets, may hold anything.
    after_name = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    began_s = int(after_name[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - began_s


def import_without_inductor(module: str) -> None:
    """Imports a module without torch's compiler, whatever of it is decorated to be compiled.

    DeepSpeed looks at an optimizer (Muon) that nobody here uses when it makes its engine; three
    functions of it are compiled when called, and only naming that loads Inductor: most of the
    engine's own start. Called, they would run as they are written.
    """
    before = os.environ.get(_NO_COMPILER)
    os.environ[_NO_COMPILER] = "1"
    try:
        importlib.import_module(module)
    except ModuleNotFoundError:
        return  # another DeepSpeed: there is nothing to keep from being compiled
    finally:
        if before is None:
            del os.environ[_NO_COMPILER]
        else:
            os.environ[_NO_COMPILER] = before


_NO_COMPILER = "TORCHDYNAMO_DISABLE"
