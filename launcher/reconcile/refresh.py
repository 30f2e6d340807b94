"""One refresh of the ledger: observe, make facts, record. Also says what it could not learn."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from db.ledger import Ledger
from db.queries import stages_of
from db.schema import StageRun
from launcher.cluster.base import Cluster
from launcher.identity import user_name
from launcher.reconcile.facts import make_facts
from launcher.reconcile.judge import Judged, judge_run
from launcher.reconcile.observe import observe, open_submission
from launcher.reconcile.record import record_judged
from launcher.view import Learned

QUICK_BYTES = 256e6
"""What `status` reads of new checkpoints to verify them; larger ones wait for who has time."""
ALL_BYTES = math.inf


@dataclass(frozen=True)
class Refreshed:
    """A run as the ledger knows it after a refresh.

    Attributes:
        stages: The stage runs in order, with run, submissions, attempts and checkpoints.
        learned: What was seen of the stages that were looked at, by stage.
        queries: Questions put to the scheduler.
        no_answer: Why nothing new is known about jobs; empty when the cluster answered.
    """

    stages: Sequence[StageRun]
    learned: Mapping[str, Learned]
    queries: int = 0
    no_answer: str = ""


def read_run(ledger: Ledger, run_id: str) -> Refreshed:
    """A run as the ledger knows it, without asking anybody."""
    with ledger.read() as session:
        return Refreshed(stages_of(session, run_id), {})


def refresh_run(
    ledger: Ledger,
    run_id: str,
    open_cluster: Callable[[str], Cluster],
    *,
    clock: Callable[[], float],
    digest_bytes: float,
) -> Refreshed:
    """Brings the ledger up to date about a run; one that has ended needs no question at all.

    Args:
        ledger: The ledger.
        run_id: The run.
        open_cluster: Gives the cluster of a name.
        clock: Unix seconds.
        digest_bytes: See `observe`.
    """
    before = read_run(ledger, run_id)
    is_ours = before.stages[0].run.submitted_by == user_name()
    if not is_ours or not any(open_submission(stage) is not None for stage in before.stages):
        return before  # of another user's jobs Slurm shows us nothing
    cluster = open_cluster(before.stages[0].cluster)
    seen = observe(before.stages, cluster, now=clock(), digest_bytes=digest_bytes)
    judged = judge_run(make_facts(before.stages, seen))
    with ledger.write() as session:
        record_judged(session, judged, at=seen.at)
    return Refreshed(
        stages=read_run(ledger, run_id).stages,
        learned=learned_from(judged),
        queries=seen.queries,
        no_answer=seen.no_answer.what if seen.no_answer else "",
    )


def learned_from(judged: Sequence[Judged]) -> dict[str, Learned]:
    """What a look told of the stages of one run, by stage."""
    return {
        each.facts.stage.stage: Learned(each.decision.sentence, each.facts.epoch)
        for each in judged
        if each.facts.submission is not None
    }
