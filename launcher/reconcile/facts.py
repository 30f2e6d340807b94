"""What the evidence says about each stage run. Pure: no clock, no cluster, no ledger.

`attempts.py` tells the single attempts; here the state of the stage follows from the last one,
by the evidence that counts most: the done marker, the queue, the job's own last word, and only
then Slurm's word for how it ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from db.schema import Attempt, StageRun, Submission
from db.states import StageState
from launcher.cluster.base import JobRow, NoAnswer
from launcher.cluster.states import Meaning, meaning
from launcher.reconcile.attempts import Seen, cause, describe_attempt, see_attempts
from launcher.reconcile.observe import (
    Evidence,
    Observation,
    SeenCheckpoint,
    is_job_of,
    open_submission,
)

_LIVE_STATES = {
    Meaning.WAITING: StageState.WAITING,
    Meaning.PENDING: StageState.PENDING,
    Meaning.REQUEUED: StageState.PENDING,
    Meaning.HELD: StageState.HELD,
    Meaning.RUNNING: StageState.RUNNING,
}
_LAST_WORDS = {
    "stopped": StageState.INTERRUPTED,
    "failed": StageState.FAILED,
    "refused": StageState.FAILED,
    "done": StageState.FAILED,  # it says so, and its final checkpoint is not there or damaged
}
_ENDED_STATES = {
    Meaning.INTERRUPTED: StageState.INTERRUPTED,
    Meaning.REQUEUED: StageState.INTERRUPTED,
    Meaning.CANCELLED: StageState.CANCELLED,
    Meaning.FAILED: StageState.FAILED,
    Meaning.COMPLETED: StageState.FAILED,  # without a done marker
}
_OVER = (StageState.DONE, StageState.FAILED, StageState.CANCELLED)


@dataclass(frozen=True)
class StageFacts:
    """What is true of a stage run now.

    Attributes:
        stage: The stage run as the ledger knew it.
        submission: Its open submission.
        slurm_id: The submission's job; None: no job of its name has been seen.
        state: Its state; None: as it was, nothing new is known.
        why: What the state rests on, for people; may be empty.
        attempts: Rows for the ledger.
        checkpoints: That are on the disk, newest first.
        total_steps: Of the stage; None: not told yet.
        epoch: Of its last step, from 0; None: not told.
        over: Nothing more is expected of the submission's job.
    """

    stage: StageRun
    submission: Submission
    slurm_id: str | None
    state: StageState | None
    why: str
    attempts: tuple[Attempt, ...]
    checkpoints: tuple[SeenCheckpoint, ...]
    total_steps: int | None
    epoch: int | None
    over: bool


def make_facts(stages: Sequence[StageRun], seen: Observation) -> list[StageFacts]:
    """The facts about every stage run that has an open submission."""
    facts = []
    for stage in stages:
        submission = open_submission(stage)
        if submission is not None:
            facts.append(_stage_facts(stage, submission, seen))
    return facts


def _stage_facts(stage: StageRun, submission: Submission, seen: Observation) -> StageFacts:
    files = seen.files[stage.id]
    rows = _rows(stage, submission, seen)
    slurm_id = submission.slurm_id or _adopted(stage, rows, files)
    answered = not isinstance(seen.live, NoAnswer)
    attempts: list[Seen] = []
    if slurm_id is not None:
        attempts = see_attempts(slurm_id, rows, files.stories, answered=answered, at=seen.at)
    state, why = _state(stage, attempts, files, seen)
    told = [each.story.total_steps for each in attempts if each.story.total_steps is not None]
    return StageFacts(
        stage=stage,
        submission=submission,
        slurm_id=slurm_id,
        state=state,
        why=why,
        attempts=tuple(
            describe_attempt(stage, submission, slurm_id or "", each, at=seen.at)
            for each in attempts
        ),
        checkpoints=files.checkpoints,
        total_steps=told[-1] if told else None,
        epoch=attempts[-1].story.epoch if attempts else None,
        over=(state or stage.state) in _OVER and answered and all(each.ended for each in attempts),
    )


def _rows(stage: StageRun, submission: Submission, seen: Observation) -> list[JobRow]:
    answers = (seen.history, seen.live)
    known = [row for rows in answers if not isinstance(rows, NoAnswer) for row in rows]
    return [row for row in known if is_job_of(row, stage, submission)]


def _adopted(stage: StageRun, rows: Sequence[JobRow], files: Evidence) -> str | None:
    """The job of a submission whose answer never arrived, by its name or by its event files."""
    others = {submission.slurm_id for submission in stage.submissions}
    ids = [row.slurm_id for row in rows] + [key.slurm_id for key in files.stories]
    return next((slurm_id for slurm_id in ids if slurm_id not in others), None)


def _state(
    stage: StageRun, attempts: Sequence[Seen], files: Evidence, seen: Observation
) -> tuple[StageState | None, str]:
    newest = files.checkpoints[0] if files.checkpoints else None
    if newest is not None and newest.manifest.final and not newest.faults:
        return StageState.DONE, ""
    if isinstance(seen.live, NoAnswer):
        return None, ""
    if attempts and attempts[-1].ended:
        return _ended_state(attempts[-1], newest)
    row = attempts[-1].row if attempts else None
    return _live_state(row) if row is not None and row.live else (None, _unknown_job(stage))


def _live_state(row: JobRow) -> tuple[StageState | None, str]:
    state = _LIVE_STATES.get(meaning(row.word, row.reason))
    if state is None:
        return None, f"Slurm says {row.word}, which this launcher does not know"
    return state, "" if state is StageState.RUNNING else row.reason


def _ended_state(last: Seen, newest: SeenCheckpoint | None) -> tuple[StageState | None, str]:
    """The state of a stage whose job has ended without a valid done marker."""
    words = [text for text in (cause(last), last.story.message) if text]
    means = meaning(last.row.word) if last.row else None
    if means is Meaning.CANCELLED:  # whatever the job said when it was told to go
        return StageState.CANCELLED, f"cancelled {last.row.reason if last.row else ''}".strip()
    if last.story.outcome == "done" or (means is Meaning.COMPLETED and not words):
        words = ["it ended well, but has no valid final checkpoint"]
        words += newest.faults[:1] if newest else ()
    if last.story.outcome is not None:
        return _LAST_WORDS.get(last.story.outcome, StageState.FAILED), ": ".join(words)
    if means is Meaning.GONE:
        began = last.story.started_at is not None
        why = "its processes ended without a word" if began else "it ended before its first step"
        return (StageState.INTERRUPTED if began else StageState.FAILED), why
    state = _ENDED_STATES.get(means) if means is not None else None
    return state, ": ".join(words)


def _unknown_job(stage: StageRun) -> str:
    if stage.state in (StageState.WAITING, StageState.SUBMITTING):
        return ""
    return "the cluster does not know its job, and the job has not said how it ended"
