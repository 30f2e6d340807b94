"""Makes a job that exists already the job of a stage."""

from sqlalchemy.orm import Session

from db import record
from db.queries import newest_submission, stages_of, submission_by_slurm_id
from db.schema import StageRun
from db.states import OPEN_SUBMISSION_STATES, StageState
from launcher.acting import Acting
from launcher.cluster.base import Cluster, JobRow, NoAnswer, job_name
from launcher.errors import ClusterError, UsageError
from launcher.intent import new_token

_FINISHED = (StageState.DONE, StageState.REUSED)


def adopt(lease: Acting, cluster: Cluster, run_id: str, stage: str, slurm_id: str) -> None:
    """Ties a live job to a stage by a new submission; the stage's last one is over by that.

    The fence on the disk stays as it is: the job holds the number that it was given when it was
    handed in, and a larger one would turn it away. So an older job of the stage must be gone.

    Raises:
        UsageError: There is no such stage or job, or one of them is taken.
        ClusterError: Slurm did not answer.
    """
    live = cluster.live()
    if isinstance(live, NoAnswer):
        raise ClusterError(f"{live.what}; nothing was changed: try again")
    job = next((row for row in live if row.slurm_id == slurm_id and row.live), None)
    if job is None:
        raise UsageError(f"job {slurm_id}: no job of yours with this number runs or waits")
    now = lease.clock()
    with lease.write() as session:
        rows = {row.stage: row for row in stages_of(session, run_id)}
        if stage not in rows:
            raise UsageError(f"run {run_id}: no stage '{stage}'; known: {', '.join(rows)}")
        row = rows[stage]
        _check_free(session, row, job, [each for each in live if each.live])
        last = newest_submission(session, row.id)
        submission = record.new_submission(
            session,
            row.id,
            token=new_token(),
            fence=last.fence + 1 if last is not None else 1,
            spec=dict(last.spec) if last is not None else {},
            parents=[],
            at=now,
        )
        submission.sent_at, submission.job_name, submission.rule = now, job.name, "adopted"
        record.submitted(session, submission.token, slurm_id, at=now)
        if last is not None and last.state in OPEN_SUBMISSION_STATES:
            record.close_submission(session, last.token)
            record.close_attempts(session, last.id, cause="adopted", at=now)
        said = f"{stage} adopted job {slurm_id} ({job.name})"
        record.add_event(
            session, "adopted", said, at=now, run_id=run_id, stage_run_id=row.id, data={}
        )
        record.set_stage_state(session, row.id, StageState.PENDING, at=now, why="adopted")


def _check_free(session: Session, stage: StageRun, job: JobRow, live: list[JobRow]) -> None:
    """Refuses a stage that is done or has a live job, and a job that is another stage's."""
    if stage.state in _FINISHED:
        raise UsageError(f"stage {stage.stage} is done; it needs no job")
    owner = submission_by_slurm_id(session, job.slurm_id, stage.cluster)
    if owner is not None and owner.state in OPEN_SUBMISSION_STATES:
        raise UsageError(f"job {job.slurm_id} is known already; see launcher status")
    names = {job_name(stage.stage, submission.token) for submission in stage.submissions}
    rivals = [row for row in live if row.name in names and row.slurm_id != job.slurm_id]
    if rivals:
        raise UsageError(
            f"stage {stage.stage} has job {rivals[0].slurm_id}, which is live; end that first: "
            f"scancel {rivals[0].slurm_id}"
        )
