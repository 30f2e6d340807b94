"""How safe a run is, and what follows, as values: what a save will change can be foreseen."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from jobs.checkpoint.saver import Saved

RETRY_S = 30.0
"""Before a save that failed is tried again; each further failure doubles it."""
LONGEST_RETRY_S = 600.0
_LONGEST_DOUBLINGS = 10


class Wishes(NamedTuple):
    """What rank 0 wants all ranks to do; 0 or 1 each, and 0 on the other ranks.

    Attributes:
        collect: Take note of what became of the save that was under way.
        save: Save.
        give_up: Stop, too much is unsaved.
    """

    collect: int = 0
    save: int = 0
    give_up: int = 0


@dataclass(frozen=True)
class Standing:
    """What is safe on the disk, and how often saving has failed since.

    Attributes:
        step: Of the newest checkpoint; of step 0 there is nothing to save.
        final: Whether it is the final one.
        since: When the state in it was that of the run, by `time.monotonic`.
        failures: Saves that have failed since.
        retry_at: When to try again, by the same clock; None: nothing has failed.
    """

    step: int = 0
    final: bool = False
    since: float = 0.0
    failures: int = 0
    retry_at: float | None = None

    def holds(self, step: int, *, final: bool = False) -> bool:
        """Whether this state of the run, or a later one, is safe."""
        return (self.step, self.final) >= (step, final)

    def retry_s(self, max_unsaved: float) -> float:
        """Seconds to wait after one more failure."""
        doubled = RETRY_S * (1 << min(self.failures, _LONGEST_DOUBLINGS))
        return min(doubled, LONGEST_RETRY_S, max_unsaved / 4)

    def after(self, saved: Saved, *, now: float, max_unsaved: float) -> "Standing":
        """What it will be when all ranks have taken note of a save."""
        if saved.error:
            retry_at = now + self.retry_s(max_unsaved)
            return replace(self, failures=self.failures + 1, retry_at=retry_at)
        snapshot = saved.snapshot
        return Standing(snapshot.progress.step, snapshot.final, saved.began)
