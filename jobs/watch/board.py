"""The run's curves for TensorBoard; nothing that goes wrong with them ends a run."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

QUEUED = 10_000
"""Values that wait for the writing thread before the training thread has to wait for it."""


class Board:
    """Writes scalars into a folder that all attempts of a stage share.

    A thread of TensorBoard's own writes them; the training does not wait for the disk.

    Args:
        folder: Where.
        resumed_at: Steps that were done when the attempt began: TensorBoard forgets what an
            earlier attempt wrote of later ones.
        flush_s: Seconds between two writes to the disk.
        tell: Is told, once, that the disk took no more; from then on nothing is written.
    """

    def __init__(
        self, folder: Path, *, resumed_at: int, flush_s: float, tell: Callable[[str], None]
    ) -> None:
        self._folder, self._first_step, self._flush_s = folder, resumed_at + 1, flush_s
        self._tell = tell
        self._writer: Any = None
        self._given_up = False

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Adds the values of a step."""
        if self._given_up:
            return
        try:
            writer = self._opened()
            for name, value in scalars.items():
                writer.add_scalar(name, value, step)
        except OSError as error:
            self._give_up(error)

    def close(self) -> None:
        """Writes what waits; nothing more is drawn."""
        self._given_up = True
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        try:
            writer.flush()  # tells of a fault of the thread's; `close` alone keeps it
            writer.close()
        except OSError as error:
            self._give_up(error)

    def _opened(self) -> Any:  # noqa: ANN401 - SummaryWriter is untyped
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - after the first step

            self._writer = SummaryWriter(
                str(self._folder),
                purge_step=self._first_step,
                max_queue=QUEUED,
                flush_secs=max(1, round(self._flush_s)),
            )
        return self._writer

    def _give_up(self, error: OSError) -> None:
        self._given_up, self._writer = True, None
        self._tell(f"{self._folder}: {type(error).__name__}: {error}")
