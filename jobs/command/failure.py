"""Why a foreign program failed, as an exception that `jobs.faults` can judge."""

import builtins
import re
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from jobs.faults import fault_of

_SHOWN_LINES: Final = 5
_SHOWN: Final = 1500
"""Characters."""
_RAISED: Final = re.compile(
    r"^(?:\[rank\d+\]:\s*)?(?:\w+\.)*([A-Z]\w*(?:Error|Exception|Exit|Interrupt))(?::\s*(.*))?$"
)
_OF_STARTERS: Final = ("ChildFailedError", "CalledProcessError", "SignalException")
"""How torchrun, accelerate and deepspeed say that one of their processes has failed."""


class ProgramError(Exception):
    """The program failed. Where it said with which exception, so is the class called."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class PeerFailedError(ConnectionResetError):
    """The program of another rank failed; that rank tells why."""


class HungError(Exception):
    """The program of this rank does nothing more, though that of another has ended well."""


def failure(title: str, code: int, last: Sequence[str], *, memory_ran_out: bool) -> Exception:
    """The exception for a program that ended badly.

    Args:
        title: What it is called.
        code: Its exit code, or the negative number of a signal.
        last: Its last lines.
        memory_ran_out: The kernel has killed processes for want of memory meanwhile.
    """
    if code == -signal.SIGKILL and memory_ran_out:
        return ProgramError(f"{title} was killed by the kernel: out of memory")
    how = f"ended with {code}" if code >= 0 else f"was ended by {_signal_name(-code)}"
    raised = [found for line in last if (found := _RAISED.match(line.strip()))]
    named = [found for found in raised if found[1] not in _OF_STARTERS]
    errors = [_named(found[1], f"{found[2] or ''} ({title} {how})".strip()) for found in named]
    own = [error for error in errors if not fault_of(error).lost_peer]
    if errors:
        return (own or errors)[-1]
    said = " | ".join(line.strip() for line in last[-_SHOWN_LINES:])[-_SHOWN:]
    return ProgramError(f"{title} {how}; it said: {said}" if said else f"{title} {how}")


def _named(name: str, text: str) -> Exception:
    """An exception whose class has this name; a built-in one is of its family too."""
    family = getattr(builtins, name, None)
    bases: tuple[type, ...] = (ProgramError,)
    if isinstance(family, type) and issubclass(family, Exception):
        bases = (ProgramError, family)
    try:
        error: Exception = type(name, bases, {})(text[:_SHOWN])
    except TypeError:  # such as UnicodeDecodeError, which takes more than a text
        error = type(name, (ProgramError,), {})(text[:_SHOWN])
    return error


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def kernel_kills() -> int:
    """How often this machine's kernel has killed a process for want of memory."""
    try:
        text = Path("/proc/vmstat").read_text()
    except OSError:
        return 0
    found = re.search(r"^oom_kill (\d+)$", text, re.MULTILINE)
    return int(found[1]) if found else 0
