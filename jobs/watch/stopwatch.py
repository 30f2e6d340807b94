"""How long this rank's own forward passes take."""

import time
from typing import Any

import torch
from torch import nn


class ForwardWatch:
    """Times the forward passes of a module, on the device that makes them.

    A step's wall-clock is the same on all ranks, since each waits for the slowest in the
    gradients' sums. The forward pass comes before them: on the CPU its wall-clock is taken, on a
    GPU the time between two events in its stream, which nobody waits for here. In ZeRO stage 3
    the gathering of weights is in it, and in stage 1 of the training the exchange of
    embeddings: there the ranks look more alike than they are.

    Args:
        module: The stage's model; it keeps a hook before and one after its forward pass.
    """

    def __init__(self, module: nn.Module) -> None:
        self._on_gpu = torch.cuda.is_available()
        self._began: Any = None
        self._pairs: list[tuple[Any, Any]] = []
        self._seconds = 0.0
        module.register_forward_pre_hook(self._before)
        module.register_forward_hook(self._after)

    def take_s(self) -> float:
        """Seconds of the passes since the last call; waits for those that a GPU has not ended."""
        for began, ended in self._pairs:
            ended.synchronize()
            self._seconds += began.elapsed_time(ended) / 1000
        self._pairs.clear()
        seconds, self._seconds = self._seconds, 0.0
        return seconds

    def _before(self, *_: object) -> None:
        self._began = self._now()

    def _after(self, *_: object) -> None:
        if self._on_gpu:
            self._pairs.append((self._began, self._now()))
        else:
            self._seconds += self._now() - self._began

    def _now(self) -> Any:  # noqa: ANN401 - seconds, or an event of torch.cuda
        if not self._on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event
