"""Stopping on a signal: a handler sets a flag, the ranks agree between steps.

Notable: SIGTERM is how Slurm announces a preemption, USR2 how submitit asks it to announce
the time limit. submitit ignores the first and requeues on the second; `listen` takes both
over. A rank that decides alone hangs the others in their next collective, so the flag is
only acted on after a MAX all-reduce.
"""

import signal
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGUSR2)


class StopFlag:
    """Whether this job has been asked to stop."""

    def __init__(self) -> None:
        self.signal_name: str | None = None
        self._group: Any = None
        self._agreed = False

    def listen(self) -> None:
        """Takes over the signals of `SIGNALS`; call it in the main thread."""
        for number in SIGNALS:
            signal.signal(number, self._note)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.signal_name = signal.Signals(number).name

    def agreed(self) -> bool:
        """Whether any rank was asked to stop; every rank must call it at the same place.

        Once it says yes, further signals are ignored: one that arrives while the process is
        going down would turn a good exit into a bad one.
        """
        import torch  # noqa: PLC0415 - the handlers must stand before the slow imports
        import torch.distributed as dist  # noqa: PLC0415

        if self._agreed or dist.get_world_size() == 1:
            return self._decide(asked=self._agreed or self.signal_name is not None)
        if self._group is None:
            self._group = dist.new_group(backend="gloo")
        wish = torch.tensor([int(self.signal_name is not None)])
        dist.all_reduce(wish, op=dist.ReduceOp.MAX, group=self._group)
        return self._decide(asked=bool(wish.item()))

    def _decide(self, *, asked: bool) -> bool:
        if asked and not self._agreed:
            self._agreed = True
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)
        return asked
