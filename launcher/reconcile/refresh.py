"""One refresh of the ledger: observe, make facts, record. Also says what it could not learn."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from db.ledger import Ledger
from db.queries import stages_of, stages_of_runs
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
    return refresh_runs(ledger, [run_id], open_cluster, clock=clock, digest_bytes=digest_bytes)[0]


def refresh_runs(
    ledger: Ledger,
    run_ids: Sequence[str],
    open_cluster: Callable[[str], Cluster],
    *,
    clock: Callable[[], float],
    digest_bytes: float,
) -> list[Refreshed]:
    """The same for several runs, with as many questions as for one; in the order of `run_ids`.

    The questions are counted with the first of the runs that they were about.
    """
    before = read_runs(ledger, run_ids)
    found = dict(before)
    by_cluster: dict[str, list[str]] = {}
    for run_id, seen in before.items():
        if _is_worth_a_look(seen.stages):
            by_cluster.setdefault(seen.stages[0].cluster, []).append(run_id)
    for backend, ids in by_cluster.items():
        looks = {run_id: before[run_id].stages for run_id in ids}
        found |= _refresh(ledger, looks, open_cluster(backend), clock(), digest_bytes)
    return [found[run_id] for run_id in run_ids]


def _is_worth_a_look(stages: Sequence[StageRun]) -> bool:
    """Whether a job may still do something; of another user's jobs Slurm shows us nothing."""
    is_ours = stages[0].run.submitted_by == user_name()
    return is_ours and any(open_submission(stage) is not None for stage in stages)


def _refresh(
    ledger: Ledger,
    runs: Mapping[str, Sequence[StageRun]],
    cluster: Cluster,
    now: float,
    digest_bytes: float,
) -> dict[str, Refreshed]:
    """Looks at runs of one cluster, and records what is seen."""
    stages = [stage for run in runs.values() for stage in run]
    seen = observe(stages, cluster, now=now, digest_bytes=digest_bytes)
    judged = {run_id: judge_run(make_facts(run, seen)) for run_id, run in runs.items()}
    with ledger.write() as session:
        record_judged(session, [each for run in judged.values() for each in run], at=seen.at)
    no_answer = seen.no_answer.what if seen.no_answer else ""
    return {
        run_id: replace(
            after,
            learned=learned_from(judged[run_id]),
            queries=0 if place else seen.queries,  # put once for all of them
            no_answer=no_answer,
        )
        for place, (run_id, after) in enumerate(read_runs(ledger, list(runs)).items())
    }


def read_runs(ledger: Ledger, run_ids: Sequence[str]) -> dict[str, Refreshed]:
    """Runs as the ledger knows them, without asking anybody; in the order of `run_ids`."""
    with ledger.read() as session:
        rows = stages_of_runs(session, run_ids)
    found: dict[str, list[StageRun]] = {run_id: [] for run_id in run_ids}
    for row in rows:
        found[row.run_id].append(row)
    return {run_id: Refreshed(stages, {}) for run_id, stages in found.items()}


def learned_from(judged: Sequence[Judged]) -> dict[str, Learned]:
    """What a look told of the stages of one run, by stage."""
    return {
        each.facts.stage.stage: Learned(each.decision.sentence, each.facts.epoch)
        for each in judged
        if each.facts.submission is not None
    }
