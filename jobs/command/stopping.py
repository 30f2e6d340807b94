"""When a program was told to save and end, and how long it has. Pure: no clock."""

from typing import Final

from jobs.contract.command import Stop

TIME_LIMIT_SIGNAL: Final = "SIGUSR2"
"""How submitit has Slurm announce the time limit; SIGTERM announces all else."""
_MARGIN_S: Final = 5.0
"""Left of the time for the manifest, the events and the requeue."""


class Stopping:
    """The end of a program that was told to end. Times are monotonic seconds.

    Args:
        stop: What the pipeline file says.
        signal_lead_s: How long before the time limit the job is told to save.
    """

    def __init__(self, stop: Stop, signal_lead_s: float) -> None:
        self._stop, self._signal_lead_s = stop, signal_lead_s
        self._ends_at: float | None = None
        self._names: set[str] = set()

    @property
    def is_under_way(self) -> bool:
        """Whether the program was told."""
        return self._ends_at is not None

    def note(self, name: str, now: float) -> bool:
        """Takes note of a signal; gives whether it is the first.

        A preemption that follows the announcement of the time limit shortens the time.
        """
        if name in self._names:
            return False
        self._names.add(name)
        grace_s = self._stop.grace_s
        if name == TIME_LIMIT_SIGNAL:
            grace_s = max(grace_s, self._signal_lead_s)
        is_first = self._ends_at is None
        self._ends_at = min(self._ends_at or now + grace_s, now + grace_s)
        return is_first

    @property
    def kill_at(self) -> float | None:
        """When what is left of the program is killed."""
        if self._ends_at is None:
            return None
        return self._ends_at - min(_MARGIN_S, self._stop.grace_s / 4)

    @property
    def ends_at(self) -> float | None:
        """When the job must have ended."""
        return self._ends_at
