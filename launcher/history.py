"""Every attempt of a run with what followed from it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from db.schema import Attempt, StageRun
from launcher.cluster.reasons import in_words

HOUR_S = 3600
ITSELF = "requeue"
"""What followed where no rule decided: the job went back into the queue under its own id."""


@dataclass(frozen=True, kw_only=True)
class Past:
    """One attempt; None where nothing is known. Times are Unix seconds.

    Attributes:
        stage: Name of the stage.
        attempt: Its number within the stage, from 1.
        slurm_id: The job.
        restart: How often Slurm had restarted the job before.
        state: What became of it, in words.
        message: What the job said at its end.
        queued_at: When it was submitted or requeued.
        started_at: When it got its allocation.
        ended_at: When it lost it.
        queued_s: Time in the queue.
        wall_clock_s: Time with an allocation.
        gpu_hours: GPU time held.
        first_step: The step that it went on from.
        last_step: The last one that it told of.
        steps_gained: Steps that the next attempt need not make.
        steps_lost: Steps that it must make again.
        nodes: Slurm's node list.
        num_nodes: How many that are.
        exit_code: Of the job.
        decision: Id of the rule that decided what followed; `requeue`: the job did it itself.
    """

    stage: str
    attempt: int
    slurm_id: str
    restart: int
    state: str
    message: str | None
    queued_at: float | None
    started_at: float | None
    ended_at: float | None
    queued_s: float | None
    wall_clock_s: float | None
    gpu_hours: float | None
    first_step: int | None
    last_step: int | None
    steps_gained: int | None
    steps_lost: int | None
    nodes: str | None
    num_nodes: int | None
    exit_code: int | None
    decision: str | None


def history_of(stages: Sequence[StageRun]) -> list[Past]:
    """The attempts of stage runs, stage by stage, oldest first."""
    return [
        _past(stage, number, attempt)
        for stage in stages
        for number, attempt in enumerate(stage.attempts, start=1)
    ]


def _past(stage: StageRun, number: int, attempt: Attempt) -> Past:
    following = stage.attempts[number] if number < len(stage.attempts) else None
    return Past(
        stage=stage.stage,
        attempt=number,
        slurm_id=attempt.slurm_id,
        restart=attempt.restart,
        state=state_in_words(attempt),
        message=attempt.message,
        queued_at=attempt.queued_at,
        started_at=attempt.started_at,
        ended_at=attempt.ended_at,
        queued_s=attempt.queued_s,
        wall_clock_s=attempt.wall_clock_s,
        gpu_hours=None if attempt.gpu_s is None else attempt.gpu_s / HOUR_S,
        first_step=attempt.first_step,
        last_step=attempt.last_step,
        steps_gained=attempt.steps_gained,
        steps_lost=attempt.steps_lost,
        nodes=attempt.nodes,
        num_nodes=attempt.num_nodes,
        exit_code=attempt.exit_code,
        decision=_decision(stage, attempt, following),
    )


def state_in_words(attempt: Attempt) -> str:
    """What an attempt is, or why it ended."""
    if attempt.ended_at is not None:
        return attempt.cause or ("done" if attempt.exit_kind in (None, "done") else "ended")
    if attempt.started_at is not None:
        return "running"
    return f"waits: {in_words(attempt.reason)}" if attempt.reason else "waits"


def _decision(stage: StageRun, attempt: Attempt, following: Attempt | None) -> str | None:
    """The rule that decided what came after an attempt, once it has ended."""
    if attempt.ended_at is None:
        return None
    newest = stage.submissions[-1] if stage.submissions else None
    if following is not None and following.slurm_id == attempt.slurm_id:
        return ITSELF
    if following is not None:
        return next((s.rule for s in stage.submissions if s.id == following.submission_id), None)
    if newest is not None and newest.id != attempt.submission_id:  # its job has not been seen yet
        return newest.rule
    return stage.rule
