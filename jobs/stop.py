"""Stopping on a signal: a handler sets a flag, the ranks agree between steps.

Notable: SIGTERM is how Slurm announces a preemption, USR2 how submitit asks it to announce
the time limit. submitit ignores the first and requeues on the second; `listen` takes both
over. A rank that decides alone hangs the others in their next collective, so the flag is
only acted on after an all-reduce.

Before the first step there is nothing to lose, and minutes to go until the ranks could agree:
`leave_early_with` has a thread of its own act at once. Python runs its handlers in the main
thread between two lines of code, which loading weights or waiting for the other ranks can
hold up; the byte that `signal.set_wakeup_fd` sends comes through.
"""

import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from types import FrameType
from typing import Any, NamedTuple

SIGNALS = (signal.SIGTERM, signal.SIGUSR2)
POLL_S = 0.5
"""How often a signal that has come is acted on again before the first step."""
LEAVE_S = 10.0
"""How long a rank waits for the others before it leaves."""
_ENOUGH = b"\0"


class Agreed(NamedTuple):
    """What the ranks have agreed on.

    Attributes:
        stop: One of them at least was asked to stop.
        counts: Sums over the ranks.
    """

    stop: bool
    counts: tuple[int, ...] = ()


class StopFlag:
    """Whether this job has been asked to stop."""

    def __init__(self) -> None:
        self.signal_name: str | None = None
        self._hurry: Callable[[], None] | None = None
        self._group: Any = None
        self._agreed = False
        self._leave: Callable[[], None] | None = None
        self._lock = threading.Lock()
        self._writer: int | None = None

    def listen(self) -> None:
        """Takes over the signals of `SIGNALS`; call it in the main thread."""
        for number in SIGNALS:
            signal.signal(number, self._note)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.signal_name = signal.Signals(number).name
        if self._hurry is not None:
            self._hurry()

    def hurry_with(self, hurry: Callable[[], None]) -> None:
        """Has a signal cut short what may keep this rank from the next agreement.

        Args:
            hurry: Called in the signal's handler: it sets a flag, and no more. Once a signal has
                come it is called at once.
        """
        self._hurry = hurry
        if self.signal_name is not None:
            hurry()

    def leave_early_with(self, leave: Callable[[], None]) -> None:
        """From now on a signal ends the process without waiting for an agreement.

        Args:
            leave: Called in another thread once a signal has come, again and again until it
                ends the process or `stay` is called. Call this in the main thread.
        """
        reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._leave = leave
        threading.Thread(target=self._watch, args=(reader,), daemon=True).start()

    def stay(self) -> None:
        """Ends what `leave_early_with` began; a leave that is under way is not returned from."""
        if self._writer is None:
            return
        with self._lock:
            self._leave = None
        signal.set_wakeup_fd(-1)
        os.write(self._writer, _ENOUGH)
        os.close(self._writer)
        self._writer = None

    @property
    def may_leave_early(self) -> bool:
        """Whether the first step is still to come."""
        return self._leave is not None

    def _watch(self, reader: int) -> None:
        numbers = b""
        while _ENOUGH not in numbers:
            wait_s = None if self.signal_name is None else POLL_S
            ready, _, _ = select.select([reader], [], [], wait_s)
            numbers = os.read(reader, 64) if ready else b""
            for number in SIGNALS:
                if number in numbers:
                    self.signal_name = number.name
            with self._lock:
                if self._leave is not None and self.signal_name is not None:
                    self._leave()
        os.close(reader)

    def meet(self) -> None:
        """Makes the ranks' way to agree; all call it, as soon as they have joined.

        A rank that dies later is noticed in the next agreement. One that dies before the others
        have made it would have them wait for it, until torch gives up.
        """
        import torch.distributed as dist  # noqa: PLC0415 - the handlers stand before slow imports

        if self._group is None and dist.get_world_size() > 1:
            self._group = dist.new_group(backend="gloo")

    def agreed(self) -> bool:
        """Whether any rank was asked to stop; every rank must call it at the same place.

        Once it says yes, further signals are ignored: one that arrives while the process is
        going down would turn a good exit into a bad one.
        """
        return self.agree().stop

    def agree(self, *counts: int) -> "Agreed":
        """What `agreed` says, with sums of small counts that go the same way at no cost.

        The ranks meet on the host: no device is waited for.

        Args:
            counts: As many on every rank.
        """
        import torch  # noqa: PLC0415 - see meet
        import torch.distributed as dist  # noqa: PLC0415

        own = self._agreed or self.signal_name is not None
        if dist.get_world_size() == 1:
            return Agreed(self._decide(asked=own), counts)
        self.meet()
        sums = torch.tensor([int(own), *counts])
        dist.all_reduce(sums, group=self._group)
        asked, *found = sums.tolist()
        return Agreed(self._decide(asked=asked > 0), tuple(found))

    def _decide(self, *, asked: bool) -> bool:
        if asked and not self._agreed:
            self._agreed = True
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)
        return asked

    def wait_for_all(self) -> bool:
        """Waits until every rank is here and gives whether they are; at most `LEAVE_S`.

        Without ranks that have joined, or that ever asked `agreed`, nobody is waited for.
        """
        if self._group is None or "torch.distributed" not in sys.modules:
            return True
        import torch.distributed as dist  # noqa: PLC0415 - loaded by now

        try:
            dist.monitored_barrier(self._group, timeout=timedelta(seconds=LEAVE_S))
        except RuntimeError:
            return False  # a rank that died here has saved all the same
        return True
