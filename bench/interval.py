"""What `checkpoint: {every: auto}` keeps of a machine that fails: `python -m bench.interval`.

Simulates training under failures at exponential intervals. The saves of `auto` are those of the
trainer's own `SaveTimer`, which at first knows neither what a save takes nor how often work is
lost: it begins with the prior of 24 h and hears after each failure what the launcher would write.
Beside it, under the same failures, fixed intervals: multiples of Daly's best for the true mean
time between failures, which nobody knows beforehand. Goodput is the time of steps that survive, by
all time. A save is whole on the disk after four times as long as it holds training.

Exits 1 where `auto` is more than 2 points below the best fixed interval of a case.
"""

import argparse
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from math import ceil
from statistics import mean

from jobs.checkpoint.interval import SaveTimer
from jobs.checkpoint.progress import Progress
from jobs.contract.checkpointing import Checkpointing
from jobs.contract.hazard import Hazard
from jobs.contract.interval import daly_s

ALLOWED_BELOW = 0.02
DURABLE = 4
"""Times the seconds that a save holds training: until it is whole on the disk."""
GRID = tuple(2 ** (half / 2) for half in range(-4, 5))
SHOWN = (0.25, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class Case:
    """A machine and a training, in seconds.

    Attributes:
        held_s: A save holds training so long.
        mtbf_s: Mean time between failures.
        restart_s: From a failure to the next step.
        step_s: A step.
    """

    held_s: float
    mtbf_s: float
    restart_s: float
    step_s: float = 20.0

    @property
    def daly_s(self) -> float:
        """The best interval for who knows the true numbers."""
        return daly_s(self.held_s, self.mtbf_s)

    def __str__(self) -> str:
        return f"{self.held_s:g} s, {self.mtbf_s / 3600:.3g} h, {self.restart_s:g} s"


CASES = (
    Case(30, 4 * 3600, 300),
    Case(30, 3600, 300),
    Case(120, 3600, 600),
    Case(1, 3600, 300),
    Case(5, 24 * 3600, 300),
    Case(2, 1200, 60, step_s=5),
)


class Fixed:
    """Saves each so many steps, or as soon as the save before is on the disk."""

    def __init__(self, case: Case, interval_s: float) -> None:
        earliest = ceil((DURABLE - 1) * case.held_s / case.step_s)
        self._steps = max(1, earliest, round(interval_s / case.step_s))

    def begin(self, step: int, now_s: float) -> None:
        """A new attempt; it knows nothing that matters."""

    def steps(self, step: int, now_s: float, limit: int) -> int:  # noqa: ARG002 - of both ways
        """Steps to the next save, `limit` at most."""
        return min(self._steps, limit)

    def saved(self, step: int, now_s: float) -> None:
        """A save was made."""

    def failed(self, ran_s: float) -> None:
        """Work was lost."""


class Auto:
    """Saves as the trainer does, and remembers as the launcher does."""

    def __init__(self, case: Case) -> None:
        self._case, self._hazard = case, Hazard()
        self._timer: SaveTimer
        self._durable_s: float | None = None

    def begin(self, step: int, now_s: float) -> None:
        """A new attempt, which reads what the launcher wrote."""
        hazard = self._hazard
        self._timer = SaveTimer(
            Checkpointing(),
            lambda: hazard,
            since=Progress(step=step),
            now_s=now_s,
            durable_s=self._durable_s,
        )

    def steps(self, step: int, now_s: float, limit: int) -> int:
        """Steps to the next save, `limit` at most."""
        step_s = self._case.step_s
        for done in range(1, limit + 1):
            self._timer.stepped(step_s)
            if self._timer.is_due(Progress(step=step + done), now_s + done * step_s):
                return done
        return limit

    def saved(self, step: int, now_s: float) -> None:
        """A save was made; what it takes is known when it is on the disk."""
        self._timer.began(Progress(step=step), now_s)
        self._durable_s = DURABLE * self._case.held_s
        self._timer.saved(self._case.held_s, self._durable_s)

    def failed(self, ran_s: float) -> None:
        """Work was lost: the launcher counts it."""
        known = self._hazard
        self._hazard = Hazard(observed_s=known.observed_s + ran_s, losses=known.losses + 1)


def failures(case: Case, seed: int) -> Iterator[float]:
    """When the machine fails, seconds since the begin, without end."""
    draw = random.Random(seed)
    return accumulate(draw.expovariate(1 / case.mtbf_s) for _ in iter(int, 1))


def goodput(case: Case, policy: Fixed | Auto, fails_at: Iterator[float], hours: float) -> float:
    """The share of `hours` that went into steps which were on the disk at the end, or ran on."""
    end_s, safe, began_s = hours * 3600, 0, 0.0
    while began_s < end_s:
        fail_s = next(fails_at)
        while fail_s < began_s:  # it was down already
            fail_s = next(fails_at)
        safe, reached = run(case, policy, safe, began_s, min(fail_s, end_s))
        if fail_s >= end_s:
            return reached * case.step_s / end_s
        policy.failed(fail_s - began_s)
        began_s = fail_s + case.restart_s
    return safe * case.step_s / end_s


def run(
    case: Case, policy: Fixed | Auto, step: int, now_s: float, until_s: float
) -> tuple[int, int]:
    """One attempt from a checkpoint at `step`; gives the newest one, and the steps it reached."""
    safe, pending, durable_at = step, step, now_s
    policy.begin(step, now_s)
    while (limit := int((until_s - now_s) / case.step_s)) > 0:
        if durable_at <= now_s:
            safe = pending
        done = policy.steps(step, now_s, limit)
        step, now_s = step + done, now_s + done * case.step_s
        safe = pending if durable_at <= now_s else safe
        pending, durable_at = step, now_s + DURABLE * case.held_s
        now_s += case.held_s
        policy.saved(step, now_s)
    return (pending if durable_at <= until_s else safe), step


def measure(case: Case, *, seeds: int, hours: float) -> tuple[dict[float, float], float]:
    """Mean goodput of each factor of Daly's interval, and of `auto`."""
    fixed = {
        factor: mean(
            goodput(case, Fixed(case, factor * case.daly_s), failures(case, seed), hours)
            for seed in range(seeds)
        )
        for factor in GRID
    }
    auto = mean(goodput(case, Auto(case), failures(case, seed), hours) for seed in range(seeds))
    return fixed, auto


def main() -> None:
    """Simulates all cases and prints a table."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.interval",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=12, help="histories of failures (12)")
    parser.add_argument("--hours", type=float, default=200, help="length of each (200)")
    args = parser.parse_args()
    shown = "".join(f"{f'{factor:g}x':>7}" for factor in SHOWN)
    sys.stdout.write(f"goodput, {args.seeds} histories of {args.hours:g} h\n")
    sys.stdout.write(f"{'held, mtbf, restart':22}{'Daly':>9}{shown}{'best':>7}{'auto':>7}\n")
    worst = 0.0
    for case in CASES:
        fixed, auto = measure(case, seeds=args.seeds, hours=args.hours)
        best = max(fixed.values())
        worst = max(worst, best - auto)
        cells = "".join(f"{value:7.3f}" for value in [*(fixed[f] for f in SHOWN), best, auto])
        sys.stdout.write(f"{case!s:22}{case.daly_s / 60:5.1f} min{cells}\n")
        sys.stdout.flush()
    sys.stdout.write(f"auto is at most {100 * worst:.1f} points below the best fixed interval\n")
    if worst > ALLOWED_BELOW:
        sys.exit(1)


if __name__ == "__main__":
    main()
