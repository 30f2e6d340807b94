"""Writes facts and decisions into the ledger, all in one transaction. Again is harmless."""

from collections.abc import Sequence, Set
from contextlib import suppress
from itertools import pairwise

from sqlalchemy.orm import Session

from db import record
from db.queries import stages_by_id, stages_of
from db.schema import Attempt, Checkpoint, StageRun, Submission
from db.states import DONE_STATES, RunState, StageState
from jobs.contract.manifest import NAME, sha256_of
from launcher.reconcile.facts import StageFacts
from launcher.reconcile.judge import Judged
from launcher.reconcile.observe import SeenCheckpoint
from launcher.reconcile.policy import Action, Decision, Handover
from launcher.reconcile.policy.decide import ANSWER_S, WITHDRAWN
from launcher.view import nodes_in_words

_FINAL_ACTIONS = (Action.DONE, Action.FAIL)


def record_judged(
    session: Session, judged: Sequence[Judged], *, at: float, counts: bool = False
) -> None:
    """Records what is true of stage runs and was decided about them, and of their runs.

    Args:
        session: Of `Ledger.write`.
        judged: Of one run or of many.
        at: When they were observed, Unix seconds.
        counts: This is a pass: a job that nobody knows is counted as unseen once more.
    """
    # What was read before the evidence was gathered may be out of date by now.
    rows = {row.id: row for row in stages_by_id(session, [each.facts.stage.id for each in judged])}
    touched = []
    for each in judged:
        stage = rows[each.facts.stage.id]
        if _is_overtaken(stage, each.facts):
            continue
        before = stage.state
        _record_facts(session, stage, each.facts, at=at, counts=counts)
        _record_decision(session, stage, each, at=at)
        if stage.state is not before or stage.state is StageState.SUBMITTING:
            touched.append(stage.run_id)
    for run_id in dict.fromkeys(touched):
        settle_run(session, run_id, at=at)


def _is_overtaken(stage: StageRun, facts: StageFacts) -> bool:
    """Whether the stage has been submitted again since the evidence was gathered."""
    newest = stage.submissions[-1].id if stage.submissions else None
    known = facts.stage.submissions[-1].id if facts.stage.submissions else None
    return newest != known


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
    if all(state in DONE_STATES for state in stages):
        return RunState.DONE
    return None if StageState.SUBMITTING in stages else RunState.RUNNING


def _record_facts(
    session: Session, stage: StageRun, facts: StageFacts, *, at: float, counts: bool
) -> None:
    if facts.submission is None:
        return
    submission = stage.submissions[-1]
    if facts.slurm_id is not None and submission.slurm_id != facts.slurm_id:
        record.submitted(session, submission.token, facts.slurm_id, at=at)
    known = {(each.slurm_id, each.restart): each for each in stage.attempts}
    counted = {key for key, each in known.items() if each.num_nodes is not None}
    attempts = [record.merge_attempt(session, known, attempt) for attempt in facts.attempts]
    if stage.min_nodes is not None:
        known |= {(each.slurm_id, each.restart): each for each in attempts}
        _note_nodes(session, stage, [*known.values()], counted, at=at)
    paths = {row.path: row for row in stage.checkpoints}
    for seen in facts.checkpoints:
        known_row = paths.get(str(seen.path))
        if not seen.faults and not _is_recorded(known_row, seen):
            with suppress(OSError):  # a newer one has taken its place since it was seen
                record.record_checkpoint(session, checkpoint_row(stage.id, seen, attempts, at=at))
    if facts.total_steps is not None:
        stage.total_steps = facts.total_steps
    _record_watch(submission, facts, at=at, counts=counts)


def _note_nodes(
    session: Session,
    stage: StageRun,
    attempts: Sequence[Attempt],
    counted: Set[tuple[str, int]],
    *,
    at: float,
) -> None:
    """Tells of each attempt that has just been found on another number of nodes than the last."""
    got = [each for each in attempts if each.num_nodes is not None]
    for before, after in pairwise(got):
        if after.num_nodes != before.num_nodes and (after.slurm_id, after.restart) not in counted:
            words = nodes_in_words(after.num_nodes, stage.min_nodes or stage.nodes, stage.nodes)
            record.add_event(
                session,
                "resized",
                f"{stage.stage}: job {after.slurm_id} goes on with {words} nodes, "
                f"before {before.num_nodes}",
                at=at,
                run_id=stage.run_id,
                stage_run_id=stage.id,
                data={"nodes": after.num_nodes, "before": before.num_nodes},
            )


def _is_recorded(known: Checkpoint | None, seen: SeenCheckpoint) -> bool:
    """Whether the ledger has a checkpoint as it is; a save over an old one has a new time."""
    return (
        known is not None
        and known.created_at == seen.written_at
        and (known.verified_at is not None or not seen.verified)
    )


def _record_watch(submission: Submission, facts: StageFacts, *, at: float, counts: bool) -> None:
    """What the next look compares with: since when the job is unseen, how far it had come."""
    if submission.mark != facts.mark:
        submission.mark, submission.moved_at = facts.mark, at
    is_out = submission.sent_at is not None or submission.slurm_id is not None
    if not facts.gone or not is_out:
        if facts.situation.answered and submission.unseen_since is not None:
            submission.unseen_since = submission.unseen_passes = None
    elif counts:
        submission.unseen_since = submission.unseen_since or at
        submission.unseen_passes = (submission.unseen_passes or 0) + 1


def _record_decision(session: Session, stage: StageRun, judged: Judged, *, at: float) -> None:
    decision, facts = judged.decision, judged.facts
    if decision.not_before is not None and stage.why != decision.sentence:
        record.add_event(
            session,
            "storm" if decision.storm else "postponed",
            f"{stage.stage}: {decision.sentence}",
            at=at,
            run_id=stage.run_id,
            stage_run_id=stage.id,
            data={"rule": decision.rule, "not_before": decision.not_before},
        )
    note_decision(session, stage, decision, at=at)
    if facts.submission is not None and is_over(decision, facts):
        record.close_submission(session, stage.submissions[-1].token)


def note_decision(session: Session, stage: StageRun, decision: Decision, *, at: float) -> None:
    """Records the state that follows from a decision, its rule and its reason."""
    if decision.rule in ("no-answer", "over"):
        return  # the last thing known stays
    if decision.state is not None:
        record.set_stage_state(
            session, stage.id, decision.state, at=at, why=decision.sentence, rule=decision.rule
        )
    if (stage.rule, stage.why) != (decision.rule, decision.sentence or None):
        stage.rule, stage.why = decision.rule, decision.sentence or None


def is_over(decision: Decision, facts: StageFacts) -> bool:
    """Whether nothing more is expected of the submission's job."""
    situation = facts.situation
    if situation.handover is Handover.SENT and situation.sent_s < ANSWER_S:
        return False  # it may still appear, and must be ended then
    ended = facts.gone and all(attempt.ended_at is not None for attempt in facts.attempts)
    final = decision.action in _FINAL_ACTIONS or decision.rule == WITHDRAWN
    return ended and (final or decision.state is StageState.CANCELLED)


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
