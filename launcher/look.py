"""A look at runs: the ledger brought up to date, and what follows from it. Acts on nothing."""

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from db.ledger import Ledger
from db.schema import Run, StageRun
from launcher.cluster.base import Cluster
from launcher.ends import is_done, nothing_can_happen
from launcher.expectation import expectations_of
from launcher.forecast import RunForecast, forecast
from launcher.reconcile.refresh import QUICK_BYTES, Refreshed, read_runs, refresh_runs
from launcher.view import StageView, view_stages


@dataclass(frozen=True)
class Looked:
    """A run at the moment of a look.

    Attributes:
        stages: Its stage runs.
        views: They as people want to see them, with their ETA.
        foreseen: When the run will be done.
        queries: Questions put to the scheduler.
        no_answer: Why nothing new is known about jobs; empty when the cluster answered.
    """

    stages: Sequence[StageRun]
    views: Sequence[StageView]
    foreseen: RunForecast
    queries: int
    no_answer: str

    @property
    def run(self) -> Run:
        """The run."""
        return self.stages[0].run

    @property
    def is_done(self) -> bool:
        """Whether every stage is done."""
        return is_done(self.stages)

    @property
    def has_ended(self) -> bool:
        """Whether nothing can happen to it any more."""
        return nothing_can_happen(self.stages)

    @property
    def news(self) -> Hashable:
        """What is different when something has happened, and not only time has passed."""
        shown = ("stage", "state", "slurm_id", "attempts", "step", "steps_lost", "cause")
        return tuple(
            (*(getattr(view, name) for name in shown), view.checkpoint) for view in self.views
        )


def look(
    ledger: Ledger,
    run_ids: Sequence[str],
    open_cluster: Callable[[str], Cluster],
    *,
    refresh: bool = True,
    clock: Callable[[], float] = time.time,
) -> list[Looked]:
    """Looks at runs, with at most two questions to the scheduler for all of them.

    Args:
        ledger: The ledger.
        run_ids: The runs.
        open_cluster: Gives the cluster of a name.
        refresh: Ask; otherwise only the ledger is read.
        clock: Unix seconds.
    """
    if refresh:
        seen = refresh_runs(ledger, run_ids, open_cluster, clock=clock, digest_bytes=QUICK_BYTES)
    else:
        seen = list(read_runs(ledger, run_ids).values())
    return [_looked(ledger, each) for each in seen]


def _looked(ledger: Ledger, seen: Refreshed) -> Looked:
    views, foreseen = forecast(
        view_stages(seen.stages, seen.learned),
        {row.stage: row.needs for row in seen.stages},
        expectations_of(ledger, seen.stages),
        in_turn=seen.stages[0].cluster == "local",
    )
    return Looked(seen.stages, views, foreseen, seen.queries, seen.no_answer)
