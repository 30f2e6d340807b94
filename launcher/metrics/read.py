"""Asks the ledger, and nobody else, for what the metrics are made of."""

from collections import Counter
from typing import Final

from db.ledger import Ledger
from db.passes import last_pass, quarantined
from db.totals import (
    attempts_in,
    checkpoints_in,
    passes_since,
    runs_by_state,
    runs_that_matter,
    stages_in,
)
from db.version import MIGRATIONS, versions
from launcher import __version__
from launcher.metrics.measure import Totals

DAY_S: Final = 86_400.0
MOST_RUNS: Final = 200
"""Runs with series of their own. About twenty series a stage run: more would burden Prometheus."""


def read_totals(ledger: Ledger, *, now: float, days: float, most: int = MOST_RUNS) -> Totals:
    """What the ledger holds of the runs that go on, and of those that ended lately.

    Args:
        ledger: The ledger, which is of this launcher's version since it was opened.
        now: Unix seconds.
        days: How long a run that has ended still counts.
        most: Of how many runs, those that go on first.
    """
    with ledger.read() as session:
        runs = runs_that_matter(session, since=now - days * DAY_S)
        chosen = runs[:most]
        ids = [run.id for run in chosen]
        last, last_good = last_pass(session), last_pass(session, good=True)
        return Totals(
            version=__version__,
            schema=versions(MIGRATIONS)[-1],
            runs_by_state=runs_by_state(session),
            runs=chosen,
            left_out=len(runs) - len(chosen),
            stages=stages_in(session, ids),
            attempts=attempts_in(session, ids),
            checkpoints=checkpoints_in(session, ids),
            last_pass_at=last.ended_at if last else None,
            last_good_pass_at=last_good.ended_at if last_good else None,
            passes=passes_since(session, now - DAY_S),
            quarantined=Counter(row.cluster for row in quarantined(session, None, now)),
        )
