"""Turns a submission into a job; a kill after any line leaves no job without a row.

row with token and fence          (whoever wants a job writes it, in one transaction)
fence on the disk                 an older attempt that still lives saves nothing any more
`sent_at`                         from now on the job may exist, and is looked for by its token
sbatch, the token in the name
Slurm id
"""

import shutil
from pathlib import Path

from db import record
from db.queries import newest_submission, submission_by_token
from db.schema import StageRun, Submission
from db.states import OPEN_SUBMISSION_STATES, StageState, SubmissionState
from jobs.contract.paths import SET_ASIDE, RunFolder
from launcher.acting import Acting
from launcher.cluster.base import Cluster, SubmitError
from launcher.errors import LauncherError
from launcher.hazard import tell_hazard
from launcher.intent import frozen_settings, job_request, new_token, write_fence
from launcher.pipeline import Pipeline, Stage


class TakenError(LauncherError):
    """Somebody else has handed this submission over already."""


def add_submission(
    lease: Acting,
    stage_run: StageRun,
    stage: Stage,
    *,
    rule: str,
    why: str,
    exclude: tuple[str, ...] = (),
    set_aside: Path | None = None,
) -> Submission:
    """Writes the intent to hand a stage over again; its last submission is over by that.

    Args:
        lease: The right to act.
        stage_run: As the ledger had it when this was decided.
        stage: From the run's frozen pipeline.
        rule: Id of the decision.
        why: Its reason.
        exclude: Nodes to keep away from, beside those of the pipeline.
        set_aside: A checkpoint that must not be resumed from.

    Raises:
        TakenError: The stage has a newer submission by now.
    """
    now = lease.clock()
    spec = frozen_settings(stage)
    if exclude:
        spec["exclude"] = list(exclude)
    if set_aside is not None:
        spec["set_aside"] = str(set_aside)
    with lease.write() as session:
        row = session.get_one(StageRun, stage_run.id)
        last = newest_submission(session, row.id)
        _same_as_known(last, stage_run)
        if last is not None and last.state in OPEN_SUBMISSION_STATES:
            record.close_submission(session, last.token)
        if last is not None:
            record.close_attempts(session, last.id, cause=rule, at=now)
        submission = record.new_submission(
            session,
            row.id,
            token=new_token(),
            fence=_next_fence(stage_run, last),
            spec=spec,
            parents=[],
            at=now,
        )
        submission.rule = rule
        record.add_event(
            session,
            "resubmitted",
            f"{row.stage} was submitted again, as number {submission.fence}: {why}",
            at=now,
            run_id=row.run_id,
            stage_run_id=row.id,
            data={"rule": rule, "token": submission.token, "exclude": list(exclude)},
        )
        record.set_stage_state(session, row.id, StageState.SUBMITTING, at=now, why=why, rule=rule)
        row.rule, row.why = rule, why
    return submission


def _same_as_known(last: Submission | None, known: StageRun) -> None:
    seen = known.submissions[-1] if known.submissions else None
    if (last.id if last else None) != (seen.id if seen else None):
        raise TakenError(f"stage {known.stage}: it has been submitted again by somebody else")


def _next_fence(stage_run: StageRun, last: Submission | None) -> int:
    """Larger than that of any submission, and than what is on the disk."""
    fence = RunFolder(Path(stage_run.run.folder)).stage(stage_run.stage).fence
    try:
        on_disk = int(fence.read_text())
    except (OSError, ValueError):
        on_disk = 0
    return max(last.fence if last else 0, on_disk) + 1


def hand_over(
    lease: Acting,
    cluster: Cluster,
    pipeline: Pipeline,
    stage_run: StageRun,
    submission: Submission,
    parents: tuple[str, ...],
) -> str:
    """Makes a job of a submission that has never been sent; gives its Slurm id.

    Raises:
        TakenError: It has been sent.
        SubmitError: Refused, or there was no answer: then the job may exist.
    """
    run, stage = RunFolder(Path(stage_run.run.folder)), pipeline.stage(stage_run.stage)
    write_fence(run, stage.name, submission.fence)
    tell_hazard(lease.ledger, stage_run.id, now=lease.clock())
    _set_aside(submission)
    exclude = submission.spec.get("exclude")
    request = job_request(
        run,
        stage,
        token=submission.token,
        fence=submission.fence,
        parents=parents,
        exclude=tuple(exclude) if isinstance(exclude, list) else (),
    )
    with lease.write() as session:
        row = submission_by_token(session, submission.token)
        if row is None or row.sent_at is not None or row.state is not SubmissionState.SUBMITTING:
            raise TakenError(f"stage {stage.name}: its job is on its way already")
        row.sent_at, row.parents = lease.clock(), list(parents)
        # From now on it can be missed, not before.
        row.unseen_since = row.unseen_passes = None
    try:
        slurm_id = cluster.submit(request)
    except SubmitError as error:
        _record_error(lease, submission, error)
        raise
    with lease.write() as session:
        record.submitted(session, submission.token, slurm_id, at=lease.clock())
        state = StageState.WAITING if parents else StageState.PENDING
        record.set_stage_state(
            session, stage_run.id, state, at=lease.clock(), why=f"it is job {slurm_id}"
        )
        session.get_one(StageRun, stage_run.id).why = None  # what it was waiting for has come
    return slurm_id


def _set_aside(submission: Submission) -> None:
    """Moves a checkpoint away that is not to be resumed from; again is harmless."""
    path = submission.spec.get("set_aside")
    if not isinstance(path, str) or not Path(path).exists():
        return
    target = Path(path).parent.parent / SET_ASIDE / f"{Path(path).name}.{submission.fence}"
    target.parent.mkdir(exist_ok=True)
    shutil.move(path, target)


def _record_error(lease: Acting, submission: Submission, error: SubmitError) -> None:
    with lease.write() as session:
        row = submission_by_token(session, submission.token)
        if row is not None:
            row.error = str(error)
        if error.refused:
            record.submission_failed(session, submission.token, str(error))
