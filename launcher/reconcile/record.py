"""Writes facts into the ledger, all in one transaction. Again is harmless."""

from collections.abc import Iterable, Sequence

from sqlalchemy.orm import Session

from db import record
from db.queries import stages_of
from db.schema import Attempt, Checkpoint, StageRun
from db.states import RunState, StageState
from jobs.contract.manifest import NAME, sha256_of
from launcher.reconcile.facts import StageFacts
from launcher.reconcile.observe import SeenCheckpoint


def record_facts(session: Session, facts: Iterable[StageFacts], *, at: float) -> None:
    """Records what is true of stage runs, and of the runs they belong to.

    Args:
        session: Of `Ledger.write`.
        facts: Of one run or of many.
        at: When they were observed, Unix seconds.
    """
    touched = []
    for stage_facts in facts:
        # What was read before the evidence was gathered may be out of date by now.
        stage = session.get_one(StageRun, stage_facts.stage.id)
        _record_stage(session, stage, stage_facts, at=at)
        touched.append(stage.run_id)
    for run_id in dict.fromkeys(touched):
        settle_run(session, run_id, at=at)


def settle_run(session: Session, run_id: str, *, at: float) -> None:
    """Records the state of a run that follows from its stages."""
    session.flush()
    stages = stages_of(session, run_id)
    state = run_state([stage.state for stage in stages])
    if state is not None:
        record.set_run_state(session, run_id, state, at=at)


def run_state(stages: Sequence[StageState]) -> RunState | None:
    """The state of a run by the states of its stages; None: it stays as it is."""
    for worst, state in (
        (StageState.FAILED, RunState.FAILED),
        (StageState.CANCELLED, RunState.CANCELLED),
        (StageState.HELD, RunState.HELD),
    ):
        if worst in stages:
            return state
    if all(state in (StageState.DONE, StageState.REUSED) for state in stages):
        return RunState.DONE
    return None if StageState.SUBMITTING in stages else RunState.RUNNING


def _record_stage(session: Session, stage: StageRun, facts: StageFacts, *, at: float) -> None:
    token = facts.submission.token
    if facts.slurm_id is not None:
        record.submitted(session, token, facts.slurm_id, at=at)
    attempts = [record.upsert_attempt(session, attempt) for attempt in facts.attempts]
    for seen in facts.checkpoints:
        if not seen.faults:
            record.record_checkpoint(session, checkpoint_row(stage.id, seen, attempts, at=at))
    if facts.total_steps is not None:
        stage.total_steps = facts.total_steps
    if facts.state is not None:
        record.set_stage_state(session, stage.id, facts.state, at=at, why=facts.why)
    if facts.over:
        record.close_submission(session, token)


def checkpoint_row(
    stage_run_id: int, seen: SeenCheckpoint, attempts: Sequence[Attempt] = (), *, at: float
) -> Checkpoint:
    """The ledger's row of a checkpoint; its digest is that of the manifest, which lists all."""
    return Checkpoint(
        stage_run_id=stage_run_id,
        attempt_id=_writer(seen, attempts),
        step=seen.manifest.step,
        path=str(seen.path),
        bytes=seen.manifest.bytes,
        files=len(seen.manifest.files),
        digest=sha256_of(seen.path / NAME),
        verified_at=at if seen.verified else None,
        final=seen.manifest.final,
        save_s=seen.manifest.save_s,
        created_at=seen.written_at,
    )


def _writer(seen: SeenCheckpoint, attempts: Sequence[Attempt]) -> int | None:
    """The attempt that was running when the checkpoint was written, if it is one of these."""
    for attempt in reversed(attempts):
        if attempt.started_at is not None and attempt.started_at <= seen.written_at:
            return attempt.id
    return None
