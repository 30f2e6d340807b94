"""The attempts of one submission, from what the cluster and the event files tell. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from db.schema import Attempt, StageRun, Submission
from jobs.contract.paths import AttemptKey
from jobs.contract.story import AttemptStory
from launcher.cluster.base import JobRow, job_name
from launcher.cluster.states import (
    WORD_OF_REQUEUED,
    WORD_OF_RUNNING,
    Ending,
    Meaning,
    cause_of,
    ending,
    meaning,
)

_NO_STORY = AttemptStory()
_FAULTS = {"out_of_memory": str(Ending.OUT_OF_MEMORY), "hardware": "hardware"}


@dataclass(frozen=True)
class Seen:
    """What is known of one attempt.

    Attributes:
        restart: Its number within the job.
        row: The cluster's words, if it has any.
        story: The event file's.
        ended: It cannot go on.
        ended_at: When it ended, as well as can be known; None while it goes on.
    """

    restart: int
    row: JobRow | None
    story: AttemptStory
    ended: bool
    ended_at: float | None


def see_attempts(
    slurm_id: str,
    rows: Sequence[JobRow],
    stories: Mapping[AttemptKey, AttemptStory],
    *,
    answered: bool,
    at: float,
) -> list[Seen]:
    """The attempts of one job in their order; closed ones of which nothing is told are left out.

    Args:
        slurm_id: The job.
        rows: What the cluster says about it; the queue's words count more than accounting's.
        stories: Event files of the stage.
        answered: The cluster did; otherwise the last attempt cannot be called ended.
        at: When this was observed.
    """
    by_restart = {row.restart: row for row in sorted(rows, key=lambda row: row.source != "sacct")}
    told = {key.restart: story for key, story in stories.items() if key.slurm_id == slurm_id}
    restarts = sorted(by_restart.keys() | told.keys())
    seen = []
    for restart in restarts:
        row, story = by_restart.get(restart), told.get(restart, _NO_STORY)
        ended = restart < restarts[-1] or (answered and _has_ended(row, story))
        following = by_restart.get(restart + 1)
        ended_at = _ended_at(row, story, following, at) if ended else None
        seen.append(Seen(restart, row, story, ended, ended_at))
    return seen


def remembered(stage: StageRun, submission: Submission, rows: Sequence[JobRow]) -> list[JobRow]:
    """How a job ended, where an earlier look saw it and nobody says it any more.

    The queue forgets what has ended, and accounting may lag or be silent: a job that its user has
    cancelled would look like one that is lost.

    Args:
        stage: The stage run.
        submission: Whose job it is.
        rows: What the cluster says about it now.
    """
    mine = [each for each in stage.attempts if each.slurm_id == submission.slurm_id]
    last = max(mine, key=lambda each: each.restart, default=None)
    if last is None or last.ended_at is None or ending(last.state) in (None, Ending.REQUEUED):
        return []
    said = [row for row in rows if row.restart >= last.restart]
    if any(row.live or ending(row.word) is not None for row in said):
        return []
    row = JobRow(
        slurm_id=last.slurm_id,
        restart=last.restart,
        name=submission.job_name or job_name(stage.stage, submission.token),
        word=last.state,
        nodes=last.nodes or "",
        num_nodes=last.num_nodes,
        queued_at=last.queued_at,
        started_at=last.started_at,
        ended_at=last.ended_at,
        exit_code=last.exit_code,
        source="squeue",
    )
    return [row]


def _has_ended(row: JobRow | None, story: AttemptStory) -> bool:
    """Whether the job's last attempt is over."""
    if row is None or (row.source == "sacct" and _is_waiting(row)):
        return story.outcome is not None  # the queue answered and does not have it
    return not row.live and meaning(row.word) is not Meaning.UNKNOWN and not _is_waiting(row)


def _is_waiting(row: JobRow) -> bool:
    """Whether accounting's row is one that the queue should show: it lags, or has lost it."""
    return meaning(row.word) in (Meaning.PENDING, Meaning.RUNNING, Meaning.HELD)


def _ended_at(
    row: JobRow | None, story: AttemptStory, following: JobRow | None, at: float
) -> float:
    known = (
        row.ended_at if row else None,
        story.exit_at,
        following.queued_at if following else None,
        story.last_at,
    )
    return next((time for time in known if time is not None), at)


def describe_attempt(
    stage: StageRun,
    submission: Submission,
    slurm_id: str,
    seen: Seen,
    *,
    saved_step: int | None,
    at: float,
) -> Attempt:
    """The ledger's row of an attempt; not added to any session.

    Args:
        stage: The stage run.
        submission: Whose job it is an attempt of.
        slurm_id: That job.
        seen: What is known of it.
        saved_step: Step of the newest valid checkpoint, where the attempt is the last one.
        at: Now, Unix seconds.
    """
    row, story = seen.row, seen.story
    started_at = (row.started_at if row else None) or story.started_at
    queued_at = row.queued_at if row else None
    wall_clock_s = None if started_at is None else max(0.0, (seen.ended_at or at) - started_at)
    num_nodes = _num_nodes(stage, slurm_id, seen)
    gpus = (num_nodes or stage.nodes) * stage.gpus_per_node
    saved_step = _saved_step(story) if saved_step is None else saved_step
    return Attempt(
        submission_id=submission.id,
        stage_run_id=stage.id,
        cluster=stage.cluster,
        slurm_id=slurm_id,
        restart=seen.restart,
        state=_word(seen),
        cause=cause(seen, submission.intent) if seen.ended else None,
        reason=(row.reason or None) if row else None,
        queued_at=queued_at,
        started_at=started_at,
        ended_at=seen.ended_at,
        wall_clock_s=wall_clock_s,
        queued_s=_queued_s(queued_at, started_at, seen.ended_at or at),
        gpu_s=None if wall_clock_s is None else wall_clock_s * gpus,
        first_step=story.first_step,
        last_step=story.last_step,
        total_steps=story.total_steps,
        steps_gained=_steps_gained(story, saved_step) if seen.ended else None,
        steps_lost=_steps_lost(story, saved_step) if seen.ended else None,
        nodes=(row.nodes if row else "") or ",".join(story.hosts) or None,
        num_nodes=num_nodes,
        exit_code=story.exit_code if story.exit_code is not None or not row else row.exit_code,
        exit_kind=story.outcome,
        message=story.message or None,
        error=story.error,
        fault=story.fault,
        host=story.host,
        loss=story.loss,
        step_s=story.step_s,
        work_s=story.work_s,
    )


def without_checkpoints(attempt: Attempt, furthest: int) -> None:
    """Says of a program that saves no checkpoints how many steps its attempt gained.

    Args:
        attempt: The ledger's row.
        furthest: The last step that an attempt before it told.
    """
    if attempt.ended_at is None or attempt.last_step is None:
        return
    attempt.steps_gained = max(0, attempt.last_step - furthest)
    if attempt.exit_kind != "done":  # what the next attempt does again, only the program knows
        attempt.steps_lost = None


def cause(seen: Seen, intent: str | None = None) -> str | None:
    """Why an attempt ended, in two words; None for a good end.

    Slurm's word comes first: the job that was told to stop does not know why. But what the
    launcher did itself, and which part failed, Slurm does not know.
    """
    slurms = cause_of(seen.row.word) if seen.row else ""
    if intent == "hang" and seen.row is not None and ending(seen.row.word) is Ending.CANCELLED:
        return "hang"
    if seen.story.outcome == "stopped":
        return slurms if slurms not in ("", "failure", "requeue", "killed") else "stop signal"
    if seen.story.outcome == "refused":
        return "refused"
    if seen.story.outcome == "done" and slurms == str(Ending.GONE):
        return None  # all that this machine can say of a job that has ended, however it did
    is_plain = slurms in ("", str(Ending.FAILED), str(Ending.REQUEUED), str(Ending.OUT_OF_MEMORY))
    if seen.story.outcome == "failed" and is_plain and seen.story.fault in _FAULTS:
        return _FAULTS[seen.story.fault]
    return slurms or ("failure" if seen.story.outcome == "failed" else None)


def _word(seen: Seen) -> str:
    """Slurm's word; for an attempt that it says nothing of, the one that must be true."""
    if seen.row is not None:
        return seen.row.word
    return WORD_OF_REQUEUED if seen.ended else WORD_OF_RUNNING


def _num_nodes(stage: StageRun, slurm_id: str, seen: Seen) -> int | None:
    """How many nodes an attempt got, as the cluster says, has said, or as its ranks found."""
    said = seen.row.num_nodes if seen.row else None
    known = (
        a.num_nodes for a in stage.attempts if (a.slurm_id, a.restart) == (slurm_id, seen.restart)
    )
    return said or next(known, None) or len(seen.story.hosts) or None


def _queued_s(queued_at: float | None, started_at: float | None, until: float) -> float | None:
    if queued_at is None:
        return None
    return max(0.0, (until if started_at is None else started_at) - queued_at)


def _saved_step(story: AttemptStory) -> int | None:
    """The newest step that was safe on the disk when the attempt ended."""
    return story.first_step if story.saved_step is None else story.saved_step


def _steps_gained(story: AttemptStory, saved_step: int | None) -> int | None:
    first = story.first_step
    return None if saved_step is None or first is None else saved_step - first


def _steps_lost(story: AttemptStory, saved_step: int | None) -> int | None:
    """Steps executed that the next attempt must do again."""
    if story.outcome == "done":
        return 0
    if saved_step is None or story.last_step is None:
        return None
    return max(0, story.last_step - saved_step)
