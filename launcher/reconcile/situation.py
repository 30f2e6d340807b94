"""In which situation a stage run is: all that a decision about it rests on. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from db.schema import Attempt, StageRun, Submission
from db.states import StageKind
from jobs.contract.story import AttemptStory
from launcher.cluster.base import JobRow, NoAnswer
from launcher.cluster.states import (
    Ending,
    ending,
    is_held_after_launch,
    is_never_satisfied,
    meaning,
)
from launcher.reconcile import history
from launcher.reconcile.attempts import Seen
from launcher.reconcile.observe import Evidence, Observation
from launcher.reconcile.policy import By, End, Handover, Queued, Situation

_STARTING = 3
"""How much longer than a step the start of a job may take before it counts as hung."""


@dataclass(frozen=True)
class Known:
    """Everything that was seen of one stage run.

    Attributes:
        stage: The stage run as the ledger knew it.
        submission: Its open submission; None: it has none.
        seen: What was observed of all.
        files: What its files say.
        rows: What the cluster says of the submission's job.
        slurm_id: That job; None: no job of its name has been seen.
        attempts: Of that job, oldest first.
        described: Their rows for the ledger.
    """

    stage: StageRun
    submission: Submission | None
    seen: Observation
    files: Evidence
    rows: tuple[JobRow, ...] = ()
    slurm_id: str | None = None
    attempts: tuple[Seen, ...] = ()
    described: tuple[Attempt, ...] = ()

    @property
    def last(self) -> Seen | None:
        """The newest attempt."""
        return self.attempts[-1] if self.attempts else None


def mark_of(last: Seen | None) -> str:
    """How far a job has come, to be compared with the last time; empty: no job."""
    if last is None:
        return ""
    story = last.story
    return f"{last.restart}/{story.last_step}/{story.saved_step}/{story.last_at}"


def situation_of(known: Known) -> Situation:
    """The situation of a stage run, without its parents."""
    stage, submission, seen, files = known.stage, known.submission, known.seen, known.files
    attempts = history.merged(stage.attempts, known.described)
    newest = files.checkpoints[0] if files.checkpoints else None
    is_final = newest is not None and newest.manifest.final and not newest.faults
    is_verified = newest is not None and newest.verified
    return Situation(
        stage=stage.stage,
        now=seen.at,
        state=stage.state,
        rule=stage.rule or "",
        answered=seen.no_answer is None,
        accounting=not isinstance(seen.history, NoAnswer),
        is_local=stage.cluster == "local",
        resumable=stage.resumable,
        done=is_final and is_verified,
        unverified=is_final and not is_verified,
        handover=_handover(submission, known.slurm_id),
        waits_in_queue=stage.cluster != "local",
        sent_s=seen.at - submission.sent_at if submission and submission.sent_at else 0.0,
        intent=history.intent_of(submission, known.described),
        queued=_queued(known),
        end=_end(known),
        unseen_s=_unseen_s(submission, seen.at),
        unseen_passes=(submission.unseen_passes or 0) if submission else 0,
        silent_s=_silent_s(submission, known.last, seen.at),
        past=history.count(attempts, stage.counted_from),
        saves=history.saves_checkpoints(history.newest_submission(stage)),
        checkpoints=len(files.valid),
        all_damaged=bool(files.checkpoints) and not files.valid,
        releases=(submission.releases or 0) if submission else 0,
        budgets=history.budgets_of(history.newest_submission(stage)),
        deadline_at=stage.run.deadline_at,
        max_gpu_hours=stage.run.max_gpu_hours,
    )


def _unseen_s(submission: Submission | None, at: float) -> float:
    """For how long nobody has known the job; it could not be known before it was sent."""
    if submission is None or submission.unseen_since is None:
        return 0.0
    return at - max(submission.unseen_since, submission.sent_at or 0.0)


def _queued(known: Known) -> Queued | None:
    """The job as the queue shows it; None where it is not there."""
    last, submission = known.last, known.submission
    row = last.row if last is not None else None
    if submission is None or last is None or row is None or not row.live or last.ended:
        return None
    return Queued(
        meaning=meaning(row.word, row.reason),
        word=row.word,
        reason=row.reason,
        never_satisfied=is_never_satisfied(row.reason),
        held_after_launch=is_held_after_launch(row.reason),
        restart=row.restart,
        waits_for=tuple(submission.parents),
        still_s=_still_s(known.stage, submission, last, known.seen.at),
        hang_after_s=_hang_after_s(last.story, history.budgets_of(submission).hang_s),
    )


def _still_s(stage: StageRun, submission: Submission, last: Seen, at: float) -> float | None:
    """How long a job that trains has told nothing new, by our own clock."""
    story = last.story
    tells = stage.kind is StageKind.TRAIN or story.step_s is not None
    if not tells or story.started_at is None or story.outcome is not None:
        return None
    if submission.mark != mark_of(last) or submission.moved_at is None:
        return 0.0
    return max(0.0, at - submission.moved_at)


def _hang_after_s(story: AttemptStory, hang_s: float) -> float:
    if story.first_step is None:
        return _STARTING * hang_s
    return max(hang_s, 5 * (story.step_s or 0.0), 3 * (story.save_s or 0.0))


def _handover(submission: Submission | None, slurm_id: str | None) -> Handover:
    if submission is None:
        return Handover.NONE
    if slurm_id is not None:
        return Handover.JOB
    return Handover.SENT if submission.sent_at is not None else Handover.UNSENT


def _silent_s(submission: Submission | None, last: Seen | None, at: float) -> float:
    """Since when nothing new has come from the job, by our clock and by that of its node."""
    if submission is None:
        return 0.0
    moved_at = max(submission.moved_at or 0.0, submission.sent_at or submission.created_at)
    told_at = (last.story.last_at if last is not None else None) or moved_at
    return max(0.0, at - max(moved_at, min(told_at, at)))


def _end(known: Known) -> End | None:
    """How the newest attempt ended; None: it has not, or there was none."""
    last = known.last
    if last is None or not last.ended:
        return None
    attempt, story, row = known.described[-1], last.story, last.row
    first, step = story.first_step, story.last_step
    return End(
        ending=ending(row.word) if row is not None else None,
        by=_canceller(last, known.rows, known.seen.uid),
        outcome=story.outcome,
        fault=story.fault or "",
        error=story.error,
        message=story.message or "",
        started=attempt.started_at is not None,
        ran_s=attempt.wall_clock_s,
        step=step,
        stepped=first is not None and step is not None and step > first,
        progress=attempt.steps_gained or 0,
        ended_by_others=story.requeue_word is not None,
        host=story.host or "",
        at=last.ended_at or known.seen.at,
        exit_code=attempt.exit_code,
        memory=_memory(known.stage),
    )


def _canceller(last: Seen, rows: Sequence[JobRow], uid: int) -> By:
    """Who cancelled an attempt: accounting alone says it, the queue does not."""
    if last.row is None or ending(last.row.word) is not Ending.CANCELLED:
        return ""
    told = [
        row.cancelled_by
        for row in rows
        if row.source == "sacct"
        and row.restart == last.restart
        and ending(row.word) is Ending.CANCELLED
    ]
    if not told:
        return "unknown"
    by = told[0]
    if by is None:
        return "slurm"
    return "self" if by == uid else "other"


def _memory(stage: StageRun) -> str:
    """What a node of the job was given, for people."""
    submission = history.newest_submission(stage)
    cluster = submission.spec.get("cluster") if submission is not None else None
    mem_gb = cluster.get("mem_gb") if isinstance(cluster, dict) else None
    return f"{mem_gb:g} GB a node" if isinstance(mem_gb, int | float) else ""
