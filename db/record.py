"""What the launcher writes. Each takes a session of `Ledger.write`, whose end makes it true.

Times are given by the caller: nothing here reads a clock.
"""

from collections.abc import Mapping
from typing import TypeVar

from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from db.errors import LedgerError
from db.queries import checkpoint_at, submission_by_token
from db.schema import Attempt, Base, Checkpoint, Event, Run, StageRun, Submission
from db.states import RunState, StageState, SubmissionState

Row = TypeVar("Row", bound=Base)


def create_run(session: Session, run: Run) -> None:
    """Adds a run with the stage runs and submissions that hang on it, all or nothing.

    Args:
        session: of `Ledger.write`.
        run: `Run(..., stages=[StageRun(..., submissions=[Submission(...)])])`.

    Raises:
        sqlalchemy.exc.IntegrityError: the run's id or a token exists; nothing is kept then.
    """
    session.add(run)
    session.flush()
    add_event(
        session,
        "run_created",
        f"run {run.id} was created with {len(run.stages)} stages",
        at=run.created_at,
        run_id=run.id,
    )


def new_submission(
    session: Session,
    stage_run_id: int,
    *,
    token: str,
    fence: int,
    spec: dict[str, object],
    parents: list[str],
    at: float,
) -> Submission:
    """Adds the intent to submit a stage run again.

    Raises:
        sqlalchemy.exc.IntegrityError: the token, or the fence of this stage run, exists.
    """
    submission = Submission(token=token, fence=fence, spec=spec, parents=parents, created_at=at)
    submission.stage_run_id = stage_run_id
    session.add(submission)
    session.flush()
    return submission


def submitted(session: Session, token: str, slurm_id: str, *, at: float) -> Submission:
    """Ties a submission to the job that the cluster made of it. Again is harmless.

    Raises:
        LedgerError: no such token, or it is tied to another job already.
    """
    submission = _submission(session, token)
    if submission.slurm_id not in (None, slurm_id):
        raise LedgerError(
            f"submission {token}",
            f"it is job {submission.slurm_id} already, and now job {slurm_id} as well",
            f"cancel the one that must not run (scancel {slurm_id})",
        )
    if submission.slurm_id is None:
        submission.slurm_id = slurm_id
        submission.submitted_at = at
        submission.state = SubmissionState.SUBMITTED
    return submission


def submission_failed(session: Session, token: str, error: str) -> Submission:
    """Records that the cluster refused a submission, in its words.

    Raises:
        LedgerError: no such token.
    """
    submission = _submission(session, token)
    submission.state = SubmissionState.FAILED
    submission.error = error
    return submission


def close_submission(session: Session, token: str) -> Submission:
    """Records that nothing more is expected of a submission's job.

    Raises:
        LedgerError: no such token.
    """
    submission = _submission(session, token)
    submission.state = SubmissionState.CLOSED
    return submission


def upsert_attempt(session: Session, facts: Attempt) -> Attempt:
    """Adds an attempt, or what is now known of it. Again is harmless.

    What is None in `facts` stays as it is. A closed attempt (`ended_at` set) is history: only what
    it lacks is filled in. So give `ended_at` together with the last state.

    Args:
        session: of `Ledger.write`.
        facts: never added before; its key is (cluster, slurm_id, restart).

    Returns:
        The attempt in the ledger, which is `facts` itself only when it is new.
    """
    known = session.scalars(
        select(Attempt).where(
            Attempt.cluster == facts.cluster,
            Attempt.slurm_id == facts.slurm_id,
            Attempt.restart == facts.restart,
        )
    ).one_or_none()
    if known is None:
        return _add(session, facts)
    _merge(known, facts, only_missing=known.ended_at is not None)
    return known


def merge_attempt(
    session: Session, known: Mapping[tuple[str, int], Attempt], facts: Attempt
) -> Attempt:
    """Like `upsert_attempt`, for who has loaded the attempts of the stage run already.

    Args:
        session: of `Ledger.write`.
        known: by Slurm id and restart.
        facts: never added before.
    """
    row = known.get((facts.slurm_id, facts.restart))
    if row is None:
        return upsert_attempt(session, facts)
    _merge(row, facts, only_missing=row.ended_at is not None)
    return row


def close_attempts(session: Session, submission_id: int, *, cause: str, at: float) -> None:
    """Ends the attempts of a submission whose end nobody has seen; the budgets count them then."""
    query = select(Attempt).where(
        Attempt.submission_id == submission_id, Attempt.ended_at.is_(None)
    )
    for attempt in session.scalars(query):
        attempt.ended_at, attempt.cause = at, attempt.cause or cause


def record_checkpoint(session: Session, facts: Checkpoint) -> Checkpoint:
    """Adds a checkpoint, or what its manifest says now. Again is harmless.

    What is None in `facts` stays as it is. A save over an older one at the same path replaces what
    was known of it.

    Returns:
        The checkpoint in the ledger, which is `facts` itself only when it is new.
    """
    known = checkpoint_at(session, facts.stage_run_id, facts.path)
    if known is None:
        return _add(session, facts)
    _merge(known, facts, only_missing=False)
    return known


def set_stage_state(
    session: Session,
    stage_run_id: int,
    state: StageState,
    *,
    at: float,
    why: str = "",
    rule: str | None = None,
) -> bool:
    """Moves a stage run to a state, with an event; says whether that was a change.

    Raises:
        sqlalchemy.exc.NoResultFound: no such stage run.
    """
    stage_run = session.get_one(StageRun, stage_run_id)
    before = stage_run.state
    if before == state:
        return False
    stage_run.state = state
    stage_run.updated_at = at
    add_event(
        session,
        "stage_state",
        _moved(stage_run.stage, before, state, why),
        at=at,
        run_id=stage_run.run_id,
        stage_run_id=stage_run_id,
        data={"before": str(before), "after": str(state), "rule": rule},
    )
    return True


def set_run_state(
    session: Session, run_id: str, state: RunState, *, at: float, why: str = ""
) -> bool:
    """Moves a run to a state, with an event; says whether that was a change.

    Raises:
        sqlalchemy.exc.NoResultFound: no such run.
    """
    run = session.get_one(Run, run_id)
    before = run.state
    if before == state:
        return False
    run.state = state
    add_event(
        session,
        "run_state",
        _moved(run_id, before, state, why),
        at=at,
        run_id=run_id,
        data={"before": str(before), "after": str(state)},
    )
    return True


def add_event(
    session: Session,
    kind: str,
    text: str,
    *,
    at: float,
    run_id: str | None = None,
    stage_run_id: int | None = None,
    data: dict[str, object] | None = None,
) -> Event:
    """Adds an event; `text` is one sentence in the past tense."""
    event = Event(
        kind=kind, text=text, at=at, run_id=run_id, stage_run_id=stage_run_id, data=data or {}
    )
    return _add(session, event)


def _moved(what: str, before: str, after: str, why: str) -> str:
    return f"{what} went from {before} to {after}" + (f": {why}" if why else "")


def _submission(session: Session, token: str) -> Submission:
    submission = submission_by_token(session, token)
    if submission is None:
        raise LedgerError(
            f"submission {token}", "no row has this token", "check that LAUNCHER_LEDGER is right"
        )
    return submission


def _add(session: Session, row: Row) -> Row:
    session.add(row)
    session.flush()
    return row


def _merge(known: Base, facts: Base, *, only_missing: bool) -> None:
    """Copies what `facts` knows, column by column."""
    for column in inspect(type(known)).column_attrs:
        value = getattr(facts, column.key)
        if value is None or column.key == "id":
            continue
        before = getattr(known, column.key)
        if before is None or (before != value and not only_missing):
            setattr(known, column.key, value)
