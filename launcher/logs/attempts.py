"""The attempts of a stage that have, or will have, a log."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from db.schema import Attempt, StageRun
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


def why_no_log(stage: StageRun) -> str:
    """Why a stage has no log (yet)."""
    if stage.state is StageState.REUSED:
        return "it is reused and has no job"
    job = stage.submissions[-1] if stage.submissions else None
    if job is None or job.slurm_id is None:
        return (job.error if job else None) or stage.why or f"it is {stage.state}, without a job"
    last = stage.attempts[-1] if stage.attempts else None
    if last is not None and last.first_step is not None:
        return f"what job {last.slurm_id} wrote is not in the run folder any more"
    if last is not None and last.ended_at is not None:
        return f"job {last.slurm_id} ended before its ranks began ({last.cause or last.state})"
    if last is not None and last.started_at is not None:
        return f"job {last.slurm_id} is starting"
    reason = (in_words(last.reason) if last and last.reason else None) or stage.why
    return f"job {job.slurm_id} waits" + (f": {reason}" if reason else "")


def batch_outputs(stage: StageRun) -> list[Path]:
    """What submitit caught before the ranks wrote logs of their own, the newest job's; not empty.

    There stands what the batch script, srun and a Python that could not start have said.
    """
    folder = stage_folder(stage).submitit
    for submission in reversed(stage.submissions):
        found = [path for path in (folder / submission.token).glob("*_log.*") if _has_text(path)]
        if found:
            return sorted(found)
    return []


def _has_text(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
