"""What earlier attempts count for: budgets and limits. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from db.schema import Attempt, StageRun, Submission
from launcher.endings import How, how_ended
from launcher.reconcile.policy import Budgets, Past

_HOUR_S = 3600.0


def merged(known: Iterable[Attempt], new: Iterable[Attempt]) -> list[Attempt]:
    """The attempts of a stage run, oldest first; what is closed in the ledger stays as it is."""
    by_key = {(attempt.slurm_id, attempt.restart): attempt for attempt in known}
    for attempt in new:
        key = (attempt.slurm_id, attempt.restart)
        if key not in by_key or by_key[key].ended_at is None:
            by_key[key] = attempt
    return list(by_key.values())


def count(attempts: Sequence[Attempt], counted_from: float | None) -> tuple[Past, ...]:
    """The ended attempts that the budgets count, oldest first.

    Args:
        attempts: Of one stage run, oldest first.
        counted_from: Older ones were forgiven, Unix seconds.
    """
    return tuple(
        _past(attempt)
        for attempt in attempts
        if attempt.ended_at is not None and attempt.ended_at > (counted_from or 0.0)
    )


def _past(attempt: Attempt) -> Past:
    # The result of what is counted here is not there: then a good end is a failure as well.
    failed = how_ended(attempt) in (How.DONE, How.FAILED)
    return Past(
        progress=attempt.steps_gained or 0,
        failed=failed,
        kind=attempt.cause or "",
        error=attempt.error,
        step=attempt.last_step,
        started_at=attempt.started_at,
    )


def gpu_hours(attempts: Iterable[Attempt]) -> float:
    """GPU time that these attempts have held, in hours."""
    return sum(attempt.gpu_s or 0.0 for attempt in attempts) / _HOUR_S


def budgets_of(submission: Submission | None) -> Budgets:
    """The budgets that were frozen with a submission; the defaults where none were."""
    frozen = submission.spec.get("requeue") if submission is not None else None
    if not isinstance(frozen, Mapping):
        return Budgets()
    known = {name: frozen[name] for name in vars(Budgets()) if name in frozen}
    return Budgets(**known)


def saves_checkpoints(submission: Submission | None) -> bool:
    """Whether there are checkpoints to go by; a program with `checkpoints: none` has none."""
    return submission is None or submission.spec.get("saves") is not False


def newest_submission(stage: StageRun) -> Submission | None:
    """The newest submission of a stage run, open or not."""
    return stage.submissions[-1] if stage.submissions else None


def intent_of(submission: Submission | None, attempts: Sequence[Attempt]) -> str:
    """What the launcher wants of a job; a hang ends with the attempt that hung."""
    if submission is None or submission.intent is None:
        return ""
    started_at = attempts[-1].started_at if attempts else None
    is_older = started_at is not None and started_at > (submission.intent_at or started_at)
    return "" if submission.intent == "hang" and is_older else submission.intent
