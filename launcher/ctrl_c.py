"""Ctrl-C that comes through between two acts, never within one.

As an exception it would come between any two lines: of the ledger's library, too, which then
leaves a transaction open, or a lease taken. Whoever goes on after a Ctrl-C must not meet those.
"""

import signal
import time
from types import FrameType
from typing import Self

PATIENCE = 3
"""So many presses within one act come through all the same: it hangs."""


class CtrlC:
    """While entered, KeyboardInterrupt is raised by `rest` alone.

    with CtrlC() as ctrl_c:
        while act():
            ctrl_c.rest(1.0)

    A process that is deaf to Ctrl-C, as a shell's background job is, stays deaf.
    """

    def __init__(self) -> None:
        self._presses = 0
        self._rests = False
        self._is_heard = False

    def __enter__(self) -> Self:
        self._is_heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._is_heard:
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_heard:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def rest(self, seconds: float) -> None:
        """Waits.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed meanwhile, or since the last rest.
        """
        try:
            self._rests = True
            if self._presses:
                raise KeyboardInterrupt
            time.sleep(seconds)
        finally:
            self._rests = False
            self._presses = 0

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._presses += 1
        if self._rests or self._presses >= PATIENCE:
            self._rests, self._presses = False, 0
            raise KeyboardInterrupt
