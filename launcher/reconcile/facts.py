"""What the evidence says about each stage run, and in which situation it is. Pure.

`attempts.py` tells the single attempts, `history.py` what earlier ones count for; here all that a
decision rests on is brought together. Parents are added when it is due (`StageFacts.among`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from db.schema import Attempt, StageRun, Submission
from db.states import StageKind
from jobs.contract.events import AttemptStory
from launcher.cluster.base import JobRow, NoAnswer
from launcher.cluster.states import (
    Ending,
    Meaning,
    ending,
    is_held_after_launch,
    is_never_satisfied,
    meaning,
)
from launcher.reconcile import history
from launcher.reconcile.attempts import Seen, describe_attempt, remembered, see_attempts
from launcher.reconcile.observe import (
    Evidence,
    Observation,
    SeenCheckpoint,
    open_submission,
)
from launcher.reconcile.policy import By, End, Handover, Parent, Queued, Situation

_STARTING = 3
"""How much longer than a step the start of a job may take before it counts as hung."""


@dataclass(frozen=True)
class StageFacts:
    """What is true of a stage run now.

    Attributes:
        stage: The stage run as the ledger knew it.
        submission: Its open submission; None: it has none.
        slurm_id: The submission's job; None: no job of its name has been seen.
        attempts: Rows for the ledger.
        checkpoints: That are on the disk, newest first.
        total_steps: Of the stage; None: not told yet.
        epoch: Of its last step, from 0; None: not told.
        hosts: Nodes of its last attempt, rank 0's first.
        mark: How far its job has come, to be compared with the last time; empty: no job.
        gone: The queue answered, and shows no job of it that could still do something.
        situation: What a decision rests on, without the parents.
    """

    stage: StageRun
    submission: Submission | None
    slurm_id: str | None
    attempts: tuple[Attempt, ...]
    checkpoints: tuple[SeenCheckpoint, ...]
    total_steps: int | None
    epoch: int | None
    hosts: tuple[str, ...]
    mark: str
    gone: bool
    situation: Situation

    def among(self, parents: Iterable[Parent], gpu_hours: float) -> Situation:
        """The situation with what the rest of the run adds to it."""
        return replace(self.situation, parents=tuple(parents), gpu_hours=gpu_hours)


def make_facts(stages: Sequence[StageRun], seen: Observation) -> list[StageFacts]:
    """The facts about stage runs."""
    return [_stage_facts(stage, open_submission(stage), seen) for stage in stages]


def _stage_facts(stage: StageRun, submission: Submission | None, seen: Observation) -> StageFacts:
    files = seen.files.get(stage.id, Evidence({}))
    rows = list(seen.rows_of(stage, submission)) if submission else []
    rows += remembered(stage, submission, rows) if submission else []
    slurm_id = (submission.slurm_id or _adopted(stage, rows, files)) if submission else None
    attempts: list[Seen] = []
    if slurm_id is not None:
        attempts = see_attempts(
            slurm_id, rows, files.stories, answered=seen.no_answer is None, at=seen.at
        )
    last = attempts[-1] if attempts else None
    told = [each.story.total_steps for each in attempts if each.story.total_steps is not None]
    valid = [each for each in files.checkpoints if not each.faults]
    described = tuple(
        describe_attempt(
            stage,
            submission,
            slurm_id or "",
            each,
            saved_step=_saved_step(each.story, valid) if each is last else None,
            at=seen.at,
        )
        for each in attempts
        if submission is not None
    )
    mark = _mark(last) if last is not None else ""
    queued = _queued(stage, submission, last, mark, seen) if submission else None
    return StageFacts(
        stage=stage,
        submission=submission,
        slurm_id=slurm_id,
        attempts=described,
        checkpoints=files.checkpoints,
        total_steps=told[-1] if told else None,
        epoch=last.story.epoch if last else None,
        hosts=last.story.hosts if last else (),
        mark=mark,
        gone=queued is None and seen.no_answer is None,
        situation=_situation(
            stage, submission, seen, described, files, slurm_id, last, rows, queued
        ),
    )


def _saved_step(story: AttemptStory, valid: Sequence[SeenCheckpoint]) -> int | None:
    """The newest step that is whole on the disk; 0 for an attempt that left nothing behind."""
    if valid:
        return max(each.manifest.step for each in valid)
    return 0 if story.first_step is not None else None


def _adopted(stage: StageRun, rows: Sequence[JobRow], files: Evidence) -> str | None:
    """The job of a submission whose answer never arrived, by its name or by its event files."""
    others = {submission.slurm_id for submission in stage.submissions}
    ids = [row.slurm_id for row in rows] + [key.slurm_id for key in files.stories]
    return next((slurm_id for slurm_id in ids if slurm_id not in others), None)


def _mark(last: Seen) -> str:
    story = last.story
    return f"{last.restart}/{story.last_step}/{story.saved_step}/{story.last_at}"


def _queued(
    stage: StageRun, submission: Submission, last: Seen | None, mark: str, seen: Observation
) -> Queued | None:
    """The job as the queue shows it; None where it is not there."""
    row = last.row if last is not None else None
    if row is None or not row.live or last is None or last.ended:
        return None
    hang_s = history.budgets_of(submission).hang_s
    return Queued(
        meaning=meaning(row.word, row.reason),
        word=row.word,
        reason=row.reason,
        never_satisfied=is_never_satisfied(row.reason),
        held_after_launch=is_held_after_launch(row.reason),
        restart=row.restart,
        waits_for=tuple(submission.parents),
        still_s=_still_s(stage, submission, last.story, mark, seen.at),
        hang_after_s=_hang_after_s(last.story, hang_s),
    )


def _still_s(
    stage: StageRun, submission: Submission, story: AttemptStory, mark: str, at: float
) -> float | None:
    """How long a job that trains has told nothing new, by our own clock."""
    tells = stage.kind is StageKind.TRAIN or story.step_s is not None
    if not tells or story.started_at is None or story.outcome is not None:
        return None
    if submission.mark != mark or submission.moved_at is None:
        return 0.0
    return max(0.0, at - submission.moved_at)


def _hang_after_s(story: AttemptStory, hang_s: float) -> float:
    if story.first_step is None:
        return _STARTING * hang_s
    return max(hang_s, 5 * (story.step_s or 0.0), 3 * (story.save_s or 0.0))


def _situation(  # noqa: PLR0913, PLR0917 - everything that is known comes together here
    stage: StageRun,
    submission: Submission | None,
    seen: Observation,
    described: Sequence[Attempt],
    files: Evidence,
    slurm_id: str | None,
    last: Seen | None,
    rows: Sequence[JobRow],
    queued: Queued | None,
) -> Situation:
    attempts = history.merged(stage.attempts, described)
    valid = [each for each in files.checkpoints if not each.faults]
    newest = files.checkpoints[0] if files.checkpoints else None
    end = None
    if last is not None and last.ended and described:
        end = _end(stage, last, described[-1], rows, seen)
    unseen_since = submission.unseen_since if submission else None
    if submission is not None and unseen_since is not None:
        unseen_since = max(unseen_since, submission.sent_at or unseen_since)
    return Situation(
        stage=stage.stage,
        now=seen.at,
        state=stage.state,
        answered=seen.no_answer is None,
        accounting=not isinstance(seen.history, NoAnswer),
        keeps_accounts=not isinstance(seen.history, NoAnswer),
        is_local=stage.cluster == "local",
        resumable=stage.resumable,
        done=newest is not None and newest.manifest.final and not newest.faults,
        handover=_handover(submission, slurm_id),
        waits_in_queue=stage.cluster != "local",
        sent_s=seen.at - submission.sent_at if submission and submission.sent_at else 0.0,
        intent=history.intent_of(submission, described),
        queued=queued,
        end=end,
        unseen_s=seen.at - unseen_since if unseen_since is not None else 0.0,
        unseen_passes=(submission.unseen_passes or 0) if submission else 0,
        silent_s=_silent_s(submission, last, seen.at),
        past=history.count(attempts, stage.counted_from),
        checkpoints=len(valid),
        all_damaged=bool(files.checkpoints) and not valid,
        releases=(submission.releases or 0) if submission else 0,
        budgets=history.budgets_of(history.newest_submission(stage)),
        deadline_at=stage.run.deadline_at,
        max_gpu_hours=stage.run.max_gpu_hours,
    )


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


def _end(
    stage: StageRun, last: Seen, attempt: Attempt, rows: Sequence[JobRow], seen: Observation
) -> End:
    story, row = last.story, last.row
    first, step = story.first_step, story.last_step
    return End(
        ending=ending(row.word) if row is not None else None,
        by=_canceller(last, rows, seen.uid),
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
        at=last.ended_at or seen.at,
        exit_code=attempt.exit_code,
        memory=_memory(stage),
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


def is_waiting(facts: StageFacts) -> bool:
    """Whether its job waits in the queue."""
    queued = facts.situation.queued
    return queued is not None and queued.meaning is not Meaning.RUNNING
