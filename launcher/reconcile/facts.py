"""What the evidence says about each stage run: its job, its attempts, its checkpoints. Pure.

`attempts.py` tells the single attempts, `situation.py` brings together what a decision rests on.
Parents are added when it is due (`StageFacts.among`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from db.schema import Attempt, StageRun, Submission
from jobs.contract.story import AttemptStory
from launcher.cluster.base import JobRow
from launcher.cluster.states import Meaning
from launcher.reconcile.attempts import (
    Seen,
    describe_attempt,
    remembered,
    see_attempts,
    without_checkpoints,
)
from launcher.reconcile.history import saves_checkpoints
from launcher.reconcile.observe import Evidence, Observation, SeenCheckpoint, open_submission
from launcher.reconcile.policy import Parent, Situation
from launcher.reconcile.situation import Known, mark_of, situation_of


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
    return [_stage_facts(stage, seen) for stage in stages]


def _stage_facts(stage: StageRun, seen: Observation) -> StageFacts:
    known = _gather(stage, seen)
    last, situation = known.last, situation_of(known)
    told = [each.story.total_steps for each in known.attempts]
    return StageFacts(
        stage=stage,
        submission=known.submission,
        slurm_id=known.slurm_id,
        attempts=known.described,
        checkpoints=known.files.checkpoints,
        total_steps=next((steps for steps in reversed(told) if steps is not None), None),
        epoch=last.story.epoch if last else None,
        hosts=last.story.hosts if last else (),
        mark=mark_of(last),
        gone=situation.queued is None and seen.no_answer is None,
        situation=situation,
    )


def _gather(stage: StageRun, seen: Observation) -> Known:
    """Everything that was seen of one stage run; nothing of its jobs where it has none open."""
    submission, files = open_submission(stage), seen.files.get(stage.id, Evidence({}))
    if submission is None:
        return Known(stage, None, seen, files)
    rows = list(seen.rows_of(stage, submission))
    rows += remembered(stage, submission, rows)
    slurm_id = submission.slurm_id or _adopted(stage, rows, files)
    if slurm_id is None:
        return Known(stage, submission, seen, files, tuple(rows))
    attempts = see_attempts(
        slurm_id, rows, files.stories, answered=seen.no_answer is None, at=seen.at
    )
    described = _described(stage, submission, slurm_id, attempts, files, seen.at)
    return Known(
        stage, submission, seen, files, tuple(rows), slurm_id, tuple(attempts), tuple(described)
    )


def _described(
    stage: StageRun,
    submission: Submission,
    slurm_id: str,
    attempts: Sequence[Seen],
    files: Evidence,
    at: float,
) -> list[Attempt]:
    """The ledger's rows of a job's attempts; what is on the disk is the work of the last one."""
    saves = saves_checkpoints(submission)
    described: list[Attempt] = []
    for each in attempts:
        row = describe_attempt(
            stage,
            submission,
            slurm_id,
            each,
            saved_step=_saved_step(each.story, files.valid) if each is attempts[-1] else None,
            at=at,
        )
        if not saves:
            others = [*stage.attempts, *described]
            earlier = [o for o in others if o.slurm_id != slurm_id or o.restart < each.restart]
            without_checkpoints(row, max((o.last_step or 0 for o in earlier), default=0))
        described.append(row)
    return described


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


def is_waiting(facts: StageFacts) -> bool:
    """Whether its job waits in the queue."""
    queued = facts.situation.queued
    return queued is not None and queued.meaning is not Meaning.RUNNING
