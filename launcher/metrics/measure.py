"""What the ledger's rows come to, as samples of the catalogue's metrics. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from db.states import RunState, StageState
from db.totals import AttemptTotals, CheckpointTotals, RunTotals, StageTotals
from launcher.endings import How, how_ended
from launcher.goodput import work_of
from launcher.view import steps_left_s

_METRICS = {
    How.INTERRUPTED: "launcher_stage_interruptions_total",
    How.FAILED: "launcher_stage_failures_total",
}


@dataclass(frozen=True)
class Sample:
    """One value.

    Attributes:
        metric: Its name in the catalogue.
        labels: Values of the metric's labels, in order.
        value: The value.
    """

    metric: str
    labels: tuple[str, ...]
    value: float


@dataclass(frozen=True, kw_only=True)
class Totals:
    """What was read from the ledger.

    Attributes:
        version: Of the launcher.
        schema: Version of the ledger.
        runs_by_state: All runs.
        runs: Those that get series of their own.
        left_out: How many more should have.
        stages: Of these runs.
        attempts: Likewise, oldest first within a stage run.
        checkpoints: Likewise.
        last_pass_at: End of the last pass, Unix seconds; None: there was none.
        last_good_pass_at: End of the last one that Slurm answered.
        passes: Of the last day: good, degraded.
        quarantined: Nodes by cluster.
    """

    version: str
    schema: str
    runs_by_state: Mapping[RunState, int]
    runs: Sequence[RunTotals]
    left_out: int
    stages: Sequence[StageTotals]
    attempts: Sequence[AttemptTotals]
    checkpoints: Sequence[CheckpointTotals]
    last_pass_at: float | None
    last_good_pass_at: float | None
    passes: tuple[int, int]
    quarantined: Mapping[str, int]


def samples(totals: Totals) -> Iterator[Sample]:
    """All values, in no special order."""
    yield from _of_ledger(totals)
    for run in totals.runs:
        yield Sample("launcher_run_info", (run.id, run.pipeline, run.user), 1)
        yield Sample("launcher_run_created_timestamp_seconds", (run.id,), run.created_at)
    attempts: defaultdict[int, list[AttemptTotals]] = defaultdict(list)
    for attempt in totals.attempts:
        attempts[attempt.stage_run_id].append(attempt)
    newest: dict[int, CheckpointTotals] = {}
    for checkpoint in totals.checkpoints:
        # A final checkpoint may follow another one of the same step.
        known = newest.setdefault(checkpoint.stage_run_id, checkpoint)
        if (checkpoint.step, checkpoint.final) > (known.step, known.final):
            newest[checkpoint.stage_run_id] = checkpoint
    for stage in totals.stages:
        yield from _of_stage(stage, attempts[stage.id], newest.get(stage.id))


def _of_ledger(totals: Totals) -> Iterator[Sample]:
    yield Sample("launcher_build_info", (totals.version, totals.schema), 1)
    for state, count in totals.runs_by_state.items():
        yield Sample("launcher_runs", (str(state),), count)
    yield Sample("launcher_runs_left_out", (), totals.left_out)
    yield Sample("launcher_last_pass_timestamp_seconds", (), totals.last_pass_at or 0.0)
    yield Sample("launcher_last_good_pass_timestamp_seconds", (), totals.last_good_pass_at or 0.0)
    for result, count in zip(("good", "degraded"), totals.passes, strict=True):
        yield Sample("launcher_recent_passes", (result,), count)
    for cluster, count in totals.quarantined.items():
        yield Sample("launcher_quarantined_nodes", (cluster,), count)


def _of_stage(
    stage: StageTotals, attempts: Sequence[AttemptTotals], checkpoint: CheckpointTotals | None
) -> Iterator[Sample]:
    """The values of a stage run; what nobody knows has no series."""
    labels = (stage.run, stage.stage)
    yield Sample("launcher_stage_state", (*labels, str(stage.state)), 1)
    known = {
        "launcher_stage_planned_steps": stage.total_steps,
        **_of_work(stage, attempts),
        **_of_checkpoint(checkpoint),
    }
    for metric, value in known.items():
        if value is not None:
            yield Sample(metric, labels, value)
    for (metric, cause), count in _endings(attempts).items():
        yield Sample(metric, (*labels, cause), count)


def _endings(attempts: Sequence[AttemptTotals]) -> Counter[tuple[str, str]]:
    """How often attempts ended early, by metric and cause; a cancel is none of both."""
    return Counter(
        (_METRICS[how], attempt.cause)
        for attempt in attempts
        if attempt.cause and (how := how_ended(attempt)) in _METRICS
    )


def _of_work(stage: StageTotals, attempts: Sequence[AttemptTotals]) -> dict[str, float | None]:
    """What the attempts come to; nothing of a stage that has none, such as a reused one."""
    if not attempts:
        return {}
    last, is_running = attempts[-1], stage.state is StageState.RUNNING
    left_s = steps_left_s(stage.total_steps, last.last_step, last.step_s)
    told = [attempt.last_step for attempt in attempts if attempt.last_step is not None]
    got = [attempt.num_nodes for attempt in attempts if attempt.num_nodes is not None]
    return {
        "launcher_stage_steps": told[-1] if told else None,
        "launcher_stage_loss": last.loss,
        "launcher_stage_step_duration_seconds": last.step_s,
        "launcher_stage_remaining_seconds": left_s if is_running else None,
        "launcher_stage_nodes": got[-1] if got else None,
        "launcher_stage_attempts_total": sum(each.started_at is not None for each in attempts),
        "launcher_stage_lost_steps_total": sum(each.steps_lost or 0 for each in attempts),
        "launcher_stage_allocated_gpu_seconds": sum(each.gpu_s or 0.0 for each in attempts),
        "launcher_stage_goodput_ratio": work_of(attempts).goodput,
        "launcher_stage_queue_seconds": sum(each.queued_s or 0.0 for each in attempts),
    }


def _of_checkpoint(checkpoint: CheckpointTotals | None) -> dict[str, float | None]:
    if checkpoint is None:
        return {}
    return {
        "launcher_stage_checkpoint_steps": checkpoint.step,
        "launcher_stage_checkpoint_bytes": checkpoint.bytes,
        "launcher_stage_checkpoint_timestamp_seconds": checkpoint.created_at,
    }
