"""A stage run as people want to see it, computed from the ledger's rows. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from db.schema import Attempt, StageRun
from db.states import DONE_STATES, StageState
from launcher.goodput import Work, work_of

HOUR_S = 3600
Value = TypeVar("Value")


@dataclass(frozen=True)
class CheckpointView:
    """The newest checkpoint of a stage run.

    Attributes:
        step: Optimizer steps done.
        path: Its folder.
        bytes: Size of its files.
    """

    step: int
    path: str
    bytes: int


@dataclass(frozen=True)
class Learned:
    """What a look at a stage run told, that the ledger does not keep.

    Attributes:
        why: What its state rests on; may be empty.
        epoch: Epoch of its last step, from 0.
    """

    why: str = ""
    epoch: int | None = None


@dataclass(frozen=True, kw_only=True)
class StageView:
    """One line of the status table; None where nothing is known.

    Attributes:
        run: The run's id.
        stage: The stage's name.
        state: Its state.
        slurm_id: Its newest job.
        attempts: How often it has held an allocation.
        nodes: Nodes that the last of them got.
        min_nodes: The fewest that it may get; as many as the most where it has no range.
        max_nodes: The most.
        step: Last optimizer step that was told.
        total_steps: Steps in all.
        steps_lost: Steps executed in vain, over all attempts.
        wall_clock_s: Time with an allocation, over all attempts.
        queued_s: Time spent queueing, likewise.
        gpu_hours: GPU time held, likewise.
        checkpoint: The newest.
        cause: Why it is in this state, or why its last attempt ended.
        eta_s: Seconds until it is done, its parents first, without waiting in the queue.
        epoch: Epoch of the last step, from 0; known while it is looked at.
        loss: Loss of the last step that was told.
        step_s: Seconds one step takes, by the last ones.
        is_stepping: The last attempt has told a step of its own.
        work: What became of its allocated time.
        work_left_s: Seconds of work that it has before it.
        eta_basis: What that rests on, in words that follow "by".
    """

    run: str
    stage: str
    state: StageState
    slurm_id: str | None
    attempts: int
    nodes: int | None
    min_nodes: int
    max_nodes: int
    step: int | None
    total_steps: int | None
    steps_lost: int
    wall_clock_s: float
    queued_s: float
    gpu_hours: float
    checkpoint: CheckpointView | None
    cause: str | None
    eta_s: float | None
    epoch: int | None
    loss: float | None
    step_s: float | None
    is_stepping: bool = True
    work: Work = field(default_factory=Work)
    work_left_s: float | None = None
    eta_basis: str | None = None


def nodes_in_words(got: int | None, fewest: int, most: int) -> str:
    """`4`, `2-4` before it has any, `3 of 2-4` afterwards."""
    asked = str(most) if fewest == most else f"{fewest}-{most}"
    return asked if got is None or fewest == most else f"{got} of {asked}"


def view_stages(stages: Sequence[StageRun], learned: Mapping[str, Learned]) -> list[StageView]:
    """The stage runs of a run, in order.

    Args:
        stages: With run, submissions, attempts and checkpoints.
        learned: What was just seen of some of them, by stage.
    """
    return [_view(stage, learned.get(stage.stage, Learned())) for stage in stages]


def _view(stage: StageRun, learned: Learned) -> StageView:
    attempts = stage.attempts
    last = attempts[-1] if attempts else None
    return StageView(
        run=stage.run_id,
        stage=stage.stage,
        state=stage.state,
        slurm_id=stage.submissions[-1].slurm_id if stage.submissions else None,
        attempts=sum(attempt.started_at is not None for attempt in attempts),
        nodes=_newest(attempt.num_nodes for attempt in attempts),
        min_nodes=stage.min_nodes or stage.nodes,
        max_nodes=stage.nodes,
        step=_newest(attempt.last_step for attempt in attempts),
        total_steps=stage.total_steps,
        steps_lost=sum(attempt.steps_lost or 0 for attempt in attempts),
        wall_clock_s=sum(attempt.wall_clock_s or 0.0 for attempt in attempts),
        queued_s=sum(attempt.queued_s or 0.0 for attempt in attempts),
        gpu_hours=sum(attempt.gpu_s or 0.0 for attempt in attempts) / HOUR_S,
        checkpoint=_checkpoint(stage),
        cause=_cause(stage, last, learned.why),
        eta_s=_eta_s(stage, last),
        epoch=learned.epoch,
        loss=_newest(attempt.loss for attempt in attempts),
        step_s=_newest(attempt.step_s for attempt in attempts),
        is_stepping=last is not None and last.step_s is not None,
        work=work_of(attempts),
    )


def _newest(values: Iterable[Value | None]) -> Value | None:
    """The last of them that is known."""
    return next((value for value in reversed(list(values)) if value is not None), None)


def _checkpoint(stage: StageRun) -> CheckpointView | None:
    if not stage.checkpoints:
        return None
    # A final checkpoint may follow another one of the same step.
    newest = max(stage.checkpoints, key=lambda c: (c.step, c.final))
    return CheckpointView(newest.step, newest.path, newest.bytes)


def _cause(stage: StageRun, last: Attempt | None, why: str) -> str | None:
    """Why the stage is where it is; nothing about a stage that is well."""
    if stage.state in (*DONE_STATES, StageState.RUNNING):
        return None
    submission = stage.submissions[-1] if stage.submissions else None
    if submission is not None and submission.slurm_id is None and submission.error:
        return submission.error
    if why or stage.why:
        return why or stage.why
    if last is None:
        return None
    told = [text for text in (last.cause, last.message) if text]
    return ": ".join(told) or last.reason


def _eta_s(stage: StageRun, last: Attempt | None) -> float | None:
    if stage.state is not StageState.RUNNING or last is None:
        return None
    return steps_left_s(stage.total_steps, last.last_step, last.step_s)


def steps_left_s(total: int | None, done: int | None, step_s: float | None) -> float | None:
    """Seconds that the steps after `done` take; None where one of the three is not known."""
    if total is None or done is None or step_s is None:
        return None
    return max(0, total - done) * step_s
