"""The attempts of a stage that have, or will have, a log."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from db.schema import Attempt, StageRun, Submission
from db.states import DONE_STATES, StageState
from jobs.contract.paths import AttemptKey
from launcher.cluster.reasons import in_words
from launcher.logs.fault import ranks_of
from launcher.reconcile.observe import stage_folder

_ENDED = (*DONE_STATES, StageState.FAILED, StageState.CANCELLED, StageState.HELD)


@dataclass(frozen=True)
class Logged:
    """An attempt.

    Attributes:
        number: Within the stage, from 1, as `launcher history` counts.
        key: Its job and restart.
        row: The ledger's; None: it has a log, and no look has seen it yet.
        ranks: That have a log.
    """

    number: int
    key: AttemptKey
    row: Attempt | None
    ranks: tuple[int, ...]

    @property
    def name(self) -> str:
        """For people."""
        return f"attempt {self.number}, job {self.key}"


def logged_attempts(stage: StageRun) -> list[Logged]:
    """The attempts of a stage, oldest first: those of the ledger, then what has a log only."""
    folder = stage_folder(stage)
    rows = {AttemptKey(row.slurm_id, row.restart): row for row in stage.attempts}
    unseen = [key for key in _logs(folder.root / "logs") if key not in rows]
    return [
        Logged(number, key, rows.get(key), tuple(ranks_of(folder, key)))
        for number, key in enumerate([*rows, *unseen], start=1)
    ]


def _logs(logs: Path) -> list[AttemptKey]:
    """Keys of the folders of logs, oldest first."""
    found = []
    for path in logs.glob("*.*"):
        try:
            found.append((path.stat().st_mtime, AttemptKey.parse(path.name)))
        except (ValueError, OSError):  # something else, or gone meanwhile
            continue
    return [key for _, key in sorted(found)]


def newest_with_log(attempts: Sequence[Logged]) -> Logged | None:
    """The newest attempt that has a log."""
    return next((each for each in reversed(attempts) if each.ranks), None)


def has_ended(stage: StageRun) -> bool:
    """Whether no attempt will follow, unless a person wants one."""
    is_open = any(row.started_at and not row.ended_at for row in stage.attempts[-1:])
    return stage.state in _ENDED and not is_open


def why_no_log(stage: StageRun, key: AttemptKey | None = None) -> str:
    """Why a stage has no log (yet), or why one of its attempts has none.

    Args:
        stage: The stage run.
        key: Of the attempt; None, or one that no look has seen yet: the newest.
    """
    if stage.state is StageState.REUSED:
        return "it is reused and has no job"
    row, job = _row(stage, key), _job(stage, key)
    if job is None or job.slurm_id is None:
        return (job.error if job else None) or stage.why or f"it is {stage.state}, without a job"
    last = row or (stage.attempts[-1] if stage.attempts else None)
    if last is not None and last.first_step is not None:
        return f"what job {last.slurm_id} wrote is not in the run folder any more"
    is_over = last is not None and (last.ended_at is not None or last is not stage.attempts[-1])
    if last is not None and is_over:
        told = last.cause or (last.state if last.ended_at is not None else "another followed")
        return f"job {last.slurm_id} ended before its ranks began ({told})"
    if last is not None and last.started_at is not None:
        return f"job {last.slurm_id} is starting"
    reason = (in_words(last.reason) if last and last.reason else None) or stage.why
    return f"job {job.slurm_id} waits" + (f": {reason}" if reason else "")


def batch_outputs(stage: StageRun, key: AttemptKey | None = None) -> list[Path]:
    """What submitit caught before the ranks wrote logs of their own; not empty.

    There stands what the batch script, srun and a Python that could not start have said.

    Args:
        stage: The stage run.
        key: Of an attempt: only what its job said; None: what the newest job said that said any.
    """
    folder = stage_folder(stage).submitit
    job = _job(stage, key)
    for submission in reversed(stage.submissions if key is None or job is None else [job]):
        found = [path for path in (folder / submission.token).glob("*_log.*") if _has_text(path)]
        if found:
            return sorted(found)
    return []


def _row(stage: StageRun, key: AttemptKey | None) -> Attempt | None:
    """What the ledger knows of an attempt."""
    rows = (row for row in stage.attempts if AttemptKey(row.slurm_id, row.restart) == key)
    return next(rows, None)


def _job(stage: StageRun, key: AttemptKey | None) -> Submission | None:
    """The job of an attempt; the newest where that is not known."""
    row = _row(stage, key)
    jobs = [job for job in stage.submissions if row is None or job.id == row.submission_id]
    return jobs[-1] if jobs else None


def _has_text(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
