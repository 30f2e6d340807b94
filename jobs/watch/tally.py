"""The steps since the last one that was told, summed up."""

import resource
import time
from pathlib import Path

import torch

from jobs.watch.counts import StepCounts

_GB = 10**9
_STATM_RESIDENT = 1
"""Place of the resident pages in `/proc/self/statm`."""


class Tally:
    """Sums over some steps; all means are over them, all rates by the clock on the wall.

    Args:
        world_size: Ranks of the job.
        peak: Floating-point operations a second that one rank's device can do; None: unknown.
    """

    def __init__(self, world_size: int, peak: float | None = None) -> None:
        self._world_size, self._peak = world_size, peak
        self._clear()

    def _clear(self) -> None:
        self._began = time.monotonic()
        self._steps, self._step_s = 0, 0.0
        self._losses: list[float] = []
        self._norms: list[float] = []
        self._everywhere = StepCounts(0, 0, 0, 0)

    def add(
        self, loss: float | None, grad_norm: float | None, step_s: float, everywhere: StepCounts
    ) -> None:
        """Takes a step in; `everywhere` is of all ranks."""
        self._steps += 1
        self._step_s += step_s
        self._losses += [] if loss is None else [loss]
        self._norms += [] if grad_norm is None else [grad_norm]
        sums = zip(self._everywhere, everywhere, strict=True)
        self._everywhere = StepCounts(*(before + now for before, now in sums))

    def told(self) -> dict[str, float]:
        """What the steps come to, by the names of the `step` event; empties the tally."""
        now = time.monotonic()
        elapsed_s, ranks_s = now - self._began, (now - self._began) * self._world_size
        clips, tokens, megaflops, waited_us = self._everywhere
        waited_s = waited_us / 1e6
        found = {
            "loss": _mean(self._losses),
            "grad_norm": _mean(self._norms),
            "step_s": self._step_s / self._steps,
            "data_s": waited_s / self._world_size / self._steps,
            "data_share": waited_s / ranks_s,
            "clips_per_s": clips / elapsed_s,
            "tokens_per_s": tokens / elapsed_s,
            "mfu": megaflops * 1e6 / (ranks_s * self._peak) if self._peak and megaflops else None,
        }
        self._clear()
        return {name: value for name, value in found.items() if value is not None}


def memory_gb() -> float:
    """Memory of this rank: the most its GPU ever held for it, else what the process holds."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / _GB
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[_STATM_RESIDENT])
    return pages * resource.getpagesize() / _GB


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
