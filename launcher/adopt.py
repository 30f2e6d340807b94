"""Makes a job that exists already the job of a stage."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from db import record
from db.queries import (
    newest_submission,
    stages_of,
    submission_by_slurm_id,
    submissions_by_token,
)
from db.schema import StageRun, Submission
from db.states import DONE_STATES, OPEN_SUBMISSION_STATES, StageState
from launcher.acting import Acting
from launcher.cluster.base import Cluster, JobRow, NoAnswer, job_name
from launcher.errors import ClusterError, UsageError
from launcher.intent import new_token
from launcher.reconcile.policy.decide import ANSWER_S
from launcher.reconcile.record import settle_run


def adopt(lease: Acting, cluster: Cluster, run_id: str, stage: str, slurm_id: str) -> None:
    """Ties a live job to a stage by a new submission; the stage's last one is over by that.

    The fence on the disk stays as it is: the job holds the number that it was given when it was
    handed in, and a larger one would turn it away. The row's own number only has to be one that
    the stage has not had. So an older job of the stage must be gone.

    Raises:
        UsageError: There is no such stage or job, or one of them is taken.
        ClusterError: Slurm did not answer.
    """
    live = cluster.live()
    if isinstance(live, NoAnswer):
        raise ClusterError(f"{live.what}; nothing was changed: try again")
    job = next((row for row in live if row.slurm_id == slurm_id and row.live), None)
    if job is None:
        raise UsageError(
            f"job {slurm_id}: no job of yours with this number runs or waits; see squeue --me"
        )
    now = lease.clock()
    with lease.write() as session:
        rows = {row.stage: row for row in stages_of(session, run_id)}
        if stage not in rows:
            raise UsageError(f"run {run_id}: no stage '{stage}'; known: {', '.join(rows)}")
        row = rows[stage]
        _check_job(session, row, job)
        _check_stage(row, job, [each for each in live if each.live], now)
        _take_over(session, row, job, now)
        said = f"{stage} adopted job {slurm_id} ({job.name})"
        record.add_event(session, "adopted", said, at=now, run_id=run_id, stage_run_id=row.id)
        record.set_stage_state(session, row.id, StageState.PENDING, at=now, why="adopted")
        row.counted_from, row.rule, row.why = now, "adopted", None
        settle_run(session, run_id, at=now)


def _take_over(session: Session, stage: StageRun, job: JobRow, now: float) -> None:
    """Writes the submission that the job is from now on."""
    last = newest_submission(session, stage.id)
    if last is not None:
        record.close_attempts(session, last.id, cause="adopted", at=now)
        if last.state in OPEN_SUBMISSION_STATES:
            record.close_submission(session, last.token)
    submission = record.new_submission(
        session,
        stage.id,
        token=new_token(),
        fence=last.fence + 1 if last is not None else 1,
        spec=dict(last.spec) if last is not None else {},
        parents=[],
        at=now,
    )
    submission.sent_at, submission.job_name, submission.rule = now, job.name, "adopted"
    record.submitted(session, submission.token, job.slurm_id, at=now)


def _check_job(session: Session, stage: StageRun, job: JobRow) -> None:
    """Refuses a job that a submission stands for already, known by its number or by its name."""
    by_number = submission_by_slurm_id(session, job.slurm_id, stage.cluster)
    by_name = submissions_by_token(session, [job.name.rpartition(".")[2]])
    for owner in [*([by_number] if by_number is not None else []), *by_name]:
        mine = session.get_one(StageRun, owner.stage_run_id)
        if owner.state in OPEN_SUBMISSION_STATES and _is_the_job(owner, mine, job):
            raise UsageError(
                f"job {job.slurm_id} is known already, as stage {mine.stage} of run {mine.run_id}; "
                "see launcher status"
            )


def _is_the_job(submission: Submission, stage: StageRun, job: JobRow) -> bool:
    """Whether a submission stands for a job: Slurm hands out the same number again at times."""
    return job.name == _name_of(stage, submission)


def _name_of(stage: StageRun, submission: Submission) -> str:
    return submission.job_name or job_name(stage.stage, submission.token)


def _check_stage(stage: StageRun, job: JobRow, live: Sequence[JobRow], now: float) -> None:
    """Refuses a stage that is done, or that has a live job or may have one."""
    if stage.state in DONE_STATES:
        raise UsageError(f"stage {stage.stage} is {stage.state}; it needs no job")
    known = {(_name_of(stage, each), each.slurm_id) for each in stage.submissions}
    rivals = [
        row
        for row in live
        if row.slurm_id != job.slurm_id
        and ((row.name, row.slurm_id) in known or (row.name, None) in known)
    ]
    if rivals:
        raise UsageError(
            f"stage {stage.stage} has job {rivals[0].slurm_id}, which is live; end that first: "
            f"scancel {rivals[0].slurm_id}"
        )
    last = stage.submissions[-1] if stage.submissions else None
    is_awaited = last is not None and last.slurm_id is None and last.sent_at is not None
    if is_awaited and last is not None and now - (last.sent_at or now) < ANSWER_S:
        raise UsageError(
            f"stage {stage.stage}: a job of it is on its way and has not been seen yet; try again "
            "in two minutes"
        )
