"""How much of the allocated time became steps that survived. Pure; from the ledger's columns.

Goodput is surviving steps times the seconds of a step, by the seconds that jobs held their nodes.
A step's seconds hold its wait for data. What is missing to 1 is starting up, saving, steps made
again, and the end of an attempt.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from db.schema import Attempt


@dataclass(frozen=True)
class Work:
    """What became of allocated time, in seconds.

    Attributes:
        allocated_s: Held by attempts of stages that tell how long a step takes.
        useful_s: Of steps that survived, so far.
        lost_s: Of steps that were made in vain.
    """

    allocated_s: float = 0.0
    useful_s: float = 0.0
    lost_s: float = 0.0

    @property
    def goodput(self) -> float | None:
        """Part of the allocated time that became steps that survived; None: not known."""
        return self.useful_s / self.allocated_s if self.allocated_s > 0 else None

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.allocated_s + other.allocated_s,
            self.useful_s + other.useful_s,
            self.lost_s + other.lost_s,
        )


def work_of(attempts: Sequence[Attempt]) -> Work:
    """The work of the attempts of one stage run, oldest first; nothing where no step is told."""
    told = [attempt.step_s for attempt in attempts if attempt.step_s]
    if not told:
        return Work()
    work, step_s = Work(), told[0]
    for attempt in attempts:
        step_s = attempt.step_s or step_s  # one that ended too early to tell was like the last
        held_s = attempt.wall_clock_s or 0.0
        useful_s = min(held_s, _surviving(attempt) * step_s)
        lost_s = min(held_s - useful_s, (attempt.steps_lost or 0) * step_s)
        work += Work(held_s, useful_s, lost_s)
    return work


def in_all(works: Iterable[Work]) -> Work:
    """The work of several stage runs."""
    return sum(works, Work())


def _surviving(attempt: Attempt) -> int:
    """Steps that need not be made again, as far as is known: those of a running attempt count."""
    if attempt.steps_gained is not None:
        return max(0, attempt.steps_gained)
    if attempt.ended_at is not None or attempt.first_step is None or attempt.last_step is None:
        return 0
    return max(0, attempt.last_step - attempt.first_step)
