"""Decides what is to be done about a stage run. Pure: no clock, no cluster, no ledger.

    decide(situation) -> Decision

`situation.py` holds what is known, `live.py` decides about jobs that the queue shows, `ended.py`
about those that it does not, `budgets.py` keeps what does not move from burning the cluster.
"""

from launcher.reconcile.policy.decide import decide
from launcher.reconcile.policy.decision import Action, Decision
from launcher.reconcile.policy.situation import (
    Budgets,
    By,
    End,
    Handover,
    Parent,
    Past,
    Queued,
    Situation,
)

__all__ = [
    "Action",
    "Budgets",
    "By",
    "Decision",
    "End",
    "Handover",
    "Parent",
    "Past",
    "Queued",
    "Situation",
    "decide",
]
