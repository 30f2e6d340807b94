"""How often work was lost, by the ledger: for the job, which chooses by it when to save.

Written into the stage's folder before a job is handed over, and by the pass when an attempt has
ended: a job that put itself back into the queue was not handed over. It is about ended attempts
only, so that it does not change while a job runs; the job itself knows how long it has run.
"""

from collections.abc import Iterable, Sequence

from db.endings import Ending, endings
from db.ledger import Ledger
from db.queries import stages_by_id
from db.schema import Attempt, StageRun
from db.states import StageKind
from jobs.contract.hazard import Hazard, mean_time_between_s, read_hazard, write_hazard
from launcher.cluster.states import Ending as SlurmEnding
from launcher.reconcile import history
from launcher.reconcile.judge import Judged
from launcher.reconcile.observe import stage_folder
from launcher.reconcile.walk import Done

HISTORY_S = 90 * 86_400.0
"""How far back a partition is looked at."""
_SAVED = ("done", "stopped", "refused")
"""Last words of an attempt that had nothing left to save, or must not save."""
_WANTED = str(SlurmEnding.CANCELLED)
"""A person's cancel is no hazard that saving more often would soften."""


def lost_work(attempt: Attempt) -> bool:
    """Whether an attempt was interrupted in a way that costs what was not saved.

    A crash, a kill, a lost node, a preemption without a save: all by which training would have
    lost a step, however little it was this time. One that was told to stop and saved lost nothing,
    and one that ended before its first step had nothing to lose.
    """
    if attempt.ended_at is None or attempt.first_step is None or attempt.cause == _WANTED:
        return False
    return attempt.exit_kind not in _SAVED or bool(attempt.steps_lost)


def observed(attempts: Iterable[tuple[Attempt, int]], nodes: int) -> tuple[float, int]:
    """Seconds that ended attempts ran, as if on `nodes` nodes, and how many of them lost work.

    Those that never came to a first step could lose none, so their seconds say nothing either.

    Args:
        attempts: Each with the nodes that it asked for, in case nobody knows what it got.
        nodes: Of the job that this is asked for.
    """
    ended = [
        (attempt, asked)
        for attempt, asked in attempts
        if attempt.ended_at is not None and attempt.first_step is not None
    ]
    node_s = sum((each.wall_clock_s or 0.0) * (each.num_nodes or asked) for each, asked in ended)
    return node_s / nodes, sum(lost_work(attempt) for attempt, _ in ended)


def hazard_of(stage: StageRun, attempts: Sequence[Attempt], around: Sequence[Ending]) -> Hazard:
    """The hazard of a stage.

    Args:
        stage: With its submissions.
        attempts: All of the stage.
        around: What ended on its cluster; that of its own partition, without its own, says what
            to expect before its own attempts do.
    """
    partition = _partition(stage.submissions[-1].spec) if stage.submissions else None
    others = [each for each in around if each.attempt.stage_run_id != stage.id]
    observed_s, losses = observed([(each, stage.nodes) for each in attempts], stage.nodes)
    prior_s = usual_s(others, partition, stage.nodes)
    return Hazard(observed_s=observed_s, losses=losses, prior_s=prior_s, nodes=stage.nodes)


def usual_s(around: Iterable[Ending], partition: object, nodes: int) -> float:
    """Mean seconds between losses of a job of `nodes` nodes, by what ended in its partition."""
    alike = [(each.attempt, each.nodes) for each in around if _partition(each.spec) == partition]
    return mean_time_between_s(*observed(alike, nodes))


def _partition(spec: dict[str, object]) -> object:
    """The partition that a submission asked for; None: the cluster's default."""
    cluster = spec.get("cluster")
    return cluster.get("partition") if isinstance(cluster, dict) else None


def tell_hazard(ledger: Ledger, stage_run_id: int, *, now: float) -> None:
    """Writes the file of a stage that is about to be handed over; only training reads it.

    Raises:
        OSError: The file cannot be written.
    """
    with ledger.read() as session:
        (stage,) = stages_by_id(session, [stage_run_id])
    if stage.kind is StageKind.TRAIN:
        _write(ledger, stage, stage.attempts, now)


def tell_changed_hazards(ledger: Ledger, judged: Iterable[Judged], *, now: float) -> list[Done]:
    """Writes the files of the stages of which attempts have ended; gives what went wrong."""
    failed = []
    for facts in (each.facts for each in judged):
        stage = facts.stage
        if stage.kind is not StageKind.TRAIN or facts.submission is None:
            continue
        attempts = history.merged(stage.attempts, facts.attempts)
        if all(each.ended_at is None for each in attempts):
            continue
        known = read_hazard(stage_folder(stage).hazard, stage.nodes)
        new = observed([(each, stage.nodes) for each in attempts], stage.nodes)
        if new == (known.observed_s, known.losses):
            continue
        try:
            _write(ledger, stage, attempts, now)
        except OSError as error:
            failed.append(_failed(stage, error))
    return failed


def _write(ledger: Ledger, stage: StageRun, attempts: Sequence[Attempt], now: float) -> None:
    with ledger.read() as session:
        around = endings(session, stage.cluster, since=now - HISTORY_S)
    write_hazard(stage_folder(stage).hazard, hazard_of(stage, attempts, around))


def _failed(stage: StageRun, error: OSError) -> Done:
    return Done(
        run=stage.run_id,
        stage=stage.stage,
        rule="hazard",
        action="tell",
        sentence="its job chooses by it when to save",
        error=f"hazard.json cannot be written: {error}; its job goes by the one before",
    )
