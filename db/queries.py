"""What the launcher asks the ledger. Each takes a session of `Ledger.read` or `Ledger.write`."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload, selectinload

from db.schema import Checkpoint, Event, Run, StageRun, Submission
from db.states import OPEN_SUBMISSION_STATES, RunState

_WITH_ALL = (
    joinedload(StageRun.run),
    selectinload(StageRun.submissions),
    selectinload(StageRun.attempts),
    selectinload(StageRun.checkpoints),
)
_GOING_ON = (RunState.SUBMITTING, RunState.RUNNING, RunState.HELD)
_PARAMETERS = 500
"""Values in one query; SQLite takes 999 at least."""
_NEWEST_FIRST = (Run.created_at.desc(), Run.id.desc())


def newest_run(session: Session) -> Run | None:
    """The run that was submitted last; None in an empty ledger."""
    return session.scalars(select(Run).order_by(*_NEWEST_FIRST).limit(1)).first()


def run_by_id(session: Session, start: str) -> Run | None:
    """The run with this id, or the only one whose id starts so; None if none or several do."""
    exact = session.get(Run, start)
    if exact is not None or not start:
        return exact
    matches = session.scalars(
        select(Run).where(Run.id.startswith(start, autoescape=True)).limit(2)
    ).all()
    return matches[0] if len(matches) == 1 else None


def runs(session: Session) -> Sequence[Run]:
    """All runs, the newest first."""
    return session.scalars(select(Run).order_by(*_NEWEST_FIRST)).all()


def runs_by_id(session: Session, ids: Sequence[str]) -> Sequence[Run]:
    """These runs, in no special order."""
    return session.scalars(select(Run).where(Run.id.in_(set(ids)))).all()


def stages_of(session: Session, run_id: str) -> Sequence[StageRun]:
    """The stage runs of a run in order, with run, submissions, attempts and checkpoints.

    Four queries, whatever the number of stages.
    """
    return session.scalars(
        select(StageRun)
        .where(StageRun.run_id == run_id)
        .order_by(StageRun.position)
        .options(*_WITH_ALL)
    ).all()


def stages_by_id(session: Session, ids: Sequence[int]) -> Sequence[StageRun]:
    """These stage runs with run, submissions, attempts and checkpoints, in no special order."""
    found: list[StageRun] = []
    for start in range(0, len(ids), _PARAMETERS):
        chosen = StageRun.id.in_(ids[start : start + _PARAMETERS])
        found += session.scalars(select(StageRun).where(chosen).options(*_WITH_ALL)).all()
    return found


def stages_to_look_at(session: Session) -> Sequence[StageRun]:
    """All stage runs of runs that go on, or have a job that may still do something.

    Run by run, in order; with run, submissions, attempts and checkpoints.
    """
    has_job = (
        select(StageRun.run_id)
        .join(StageRun.submissions)
        .where(Submission.state.in_(OPEN_SUBMISSION_STATES))
    )
    wanted = select(Run.id).where(Run.state.in_(_GOING_ON) | Run.id.in_(has_job))
    return session.scalars(
        select(StageRun)
        .where(StageRun.run_id.in_(wanted))
        .order_by(StageRun.run_id, StageRun.position)
        .options(*_WITH_ALL)
    ).all()


def newest_submission(session: Session, stage_run_id: int) -> Submission | None:
    """The newest submission of a stage run; None for a reused stage."""
    query = select(Submission).where(Submission.stage_run_id == stage_run_id)
    return session.scalars(query.order_by(Submission.fence.desc()).limit(1)).first()


def submissions_by_token(session: Session, tokens: Sequence[str]) -> Sequence[Submission]:
    """The submissions with these tokens, each with its stage run."""
    found: list[Submission] = []
    for start in range(0, len(tokens), _PARAMETERS):
        chosen = Submission.token.in_(tokens[start : start + _PARAMETERS])
        query = select(Submission).where(chosen).options(joinedload(Submission.stage_run))
        found += session.scalars(query).all()
    return found


def submission_by_token(session: Session, token: str) -> Submission | None:
    """The submission with this token, or None."""
    return session.scalars(select(Submission).where(Submission.token == token)).one_or_none()


def submission_by_slurm_id(session: Session, slurm_id: str, cluster: str) -> Submission | None:
    """The newest submission with this job on a cluster, or None."""
    query = (
        select(Submission)
        .join(Submission.stage_run)
        .where(Submission.slurm_id == slurm_id, StageRun.cluster == cluster)
    )
    return session.scalars(query.order_by(Submission.id.desc()).limit(1)).first()


def taken_slurm_ids(session: Session, slurm_ids: Sequence[str], cluster: str) -> set[str]:
    """Those of these jobs of a cluster that an open submission stands for."""
    found: set[str] = set()
    for start in range(0, len(slurm_ids), _PARAMETERS):
        query = (
            select(Submission.slurm_id)
            .join(Submission.stage_run)
            .where(
                Submission.slurm_id.in_(slurm_ids[start : start + _PARAMETERS]),
                Submission.state.in_(OPEN_SUBMISSION_STATES),
                StageRun.cluster == cluster,
            )
        )
        found.update(slurm_id for slurm_id in session.scalars(query) if slurm_id is not None)
    return found


def events_of(
    session: Session,
    run_id: str,
    *,
    stage: str | None = None,
    last: int = 50,
    since: float | None = None,
    after: int = 0,
) -> Sequence[Event]:
    """The last events of a run, or of one of its stages, oldest first.

    Args:
        session: Of `Ledger.read`.
        run_id: The run.
        stage: Only of this stage.
        last: How many, at most.
        since: Only those that happened at this time or later, Unix seconds.
        after: Only those with a larger id.
    """
    query = select(Event).where(Event.run_id == run_id, Event.id > after)
    if since is not None:
        query = query.where(Event.at >= since)
    if stage is not None:
        mine = select(StageRun.id).where(StageRun.run_id == run_id, StageRun.stage == stage)
        query = query.where(Event.stage_run_id.in_(mine))
    return session.scalars(query.order_by(Event.id.desc()).limit(last)).all()[::-1]


def checkpoint_at(session: Session, stage_run_id: int, path: str) -> Checkpoint | None:
    """The checkpoint of a stage run at this path, or None."""
    return session.scalars(
        select(Checkpoint).where(Checkpoint.stage_run_id == stage_run_id, Checkpoint.path == path)
    ).one_or_none()


def stages_of_runs(session: Session, run_ids: Sequence[str]) -> Sequence[StageRun]:
    """Like `stages_of` for several runs; run by run, in the order of their ids."""
    ids = sorted(set(run_ids))
    found: list[StageRun] = []
    for start in range(0, len(ids), _PARAMETERS):
        found += session.scalars(
            select(StageRun)
            .where(StageRun.run_id.in_(ids[start : start + _PARAMETERS]))
            .order_by(StageRun.run_id, StageRun.position)
            .options(*_WITH_ALL)
        ).all()
    return found


def latest_run_ids(session: Session, last: int) -> Sequence[str]:
    """The ids of the last runs: those that go on before the others, then the newest first."""
    goes_on = Run.state.in_(_GOING_ON)
    query = select(Run.id).order_by(goes_on.desc(), *_NEWEST_FIRST)
    return session.scalars(query.limit(last)).all()


def run_ids(session: Session, start: str, last: int) -> Sequence[str]:
    """The ids of the newest runs whose id begins so."""
    query = select(Run.id).where(Run.id.startswith(start, autoescape=True))
    return session.scalars(query.order_by(*_NEWEST_FIRST).limit(last)).all()


def count_runs(session: Session) -> int:
    """How many runs there are."""
    return session.scalar(select(func.count()).select_from(Run)) or 0
