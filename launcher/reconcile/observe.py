"""Gathers the evidence about stage runs: two questions to the cluster, event files, manifests."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from db.schema import StageRun, Submission
from db.states import OPEN_SUBMISSION_STATES
from jobs.contract.manifest import (
    NAME,
    Manifest,
    checkpoint_folders,
    faults,
    read_manifest,
)
from jobs.contract.paths import AttemptKey, RunFolder, StageFolder
from jobs.contract.story import AttemptStory, read_story
from launcher.cluster.base import Cluster, JobRow, NoAnswer, Rows, job_name

DIGEST_S = 120.0
"""After so long no other checkpoint is begun to be read whole: the next look goes on."""
_CLOCK_SKEW_S = 3600.0
"""By how much the controller's clock may differ from ours; also covers a change of the hour."""


@dataclass(frozen=True)
class SeenCheckpoint:
    """A checkpoint folder that has a manifest.

    Attributes:
        path: The folder.
        manifest: Its manifest.
        faults: What is wrong with its files.
        verified: Every byte has been read, now or before, and is what was saved.
        written_at: When the manifest was written, Unix seconds.
    """

    path: Path
    manifest: Manifest
    faults: tuple[str, ...]
    verified: bool
    written_at: float


@dataclass(frozen=True)
class Evidence:
    """What the files of one stage run say.

    Attributes:
        stories: Of the last attempt, and of those that the ledger has not closed.
        checkpoints: Newest first.
    """

    stories: Mapping[AttemptKey, AttemptStory]
    checkpoints: tuple[SeenCheckpoint, ...] = ()

    @property
    def valid(self) -> list[SeenCheckpoint]:
        """The checkpoints in which nothing wrong was found, newest first."""
        return [each for each in self.checkpoints if not each.faults]


@dataclass(frozen=True)
class Observation:
    """All evidence, as of one moment.

    Attributes:
        at: When, Unix seconds.
        live: What the cluster shows as its jobs.
        history: What is recorded of jobs that it does not show as live.
        queries: How many questions the scheduler was asked.
        files: What the files say, by the id of the stage run.
        uid: Number of the user whose jobs they are.
    """

    at: float
    live: Rows
    history: Rows
    queries: int
    files: Mapping[int, Evidence]
    uid: int = field(default_factory=os.getuid)

    @cached_property
    def rows(self) -> Mapping[str, Sequence[JobRow]]:
        """All that the cluster said, by the job's name; local jobs by their number."""
        found: dict[str, list[JobRow]] = {}
        for rows in (self.history, self.live):
            for row in () if isinstance(rows, NoAnswer) else rows:
                found.setdefault(row.name or row.slurm_id, []).append(row)
        return found

    def rows_of(self, stage: StageRun, submission: Submission) -> list[JobRow]:
        """What the cluster says of a submission's job.

        The name decides: Slurm hands out the same number again after a reset. What a local job
        was called is not known once it is gone, but its number is the token. The name of an
        adopted job may be another job's as well.
        """
        if submission.job_name:
            named = self.rows.get(submission.job_name, ())
            return [row for row in named if row.slurm_id == submission.slurm_id]
        name = job_name(stage.stage, submission.token)
        return [*self.rows.get(submission.token, ()), *self.rows.get(name, ())]

    @property
    def no_answer(self) -> NoAnswer | None:
        """Why nothing can be said about jobs; None when the cluster answered."""
        return self.live if isinstance(self.live, NoAnswer) else None


def observe(
    stages: Sequence[StageRun], cluster: Cluster, *, now: float, digest_bytes: float
) -> Observation:
    """Gathers the evidence about these stage runs of one cluster.

    Args:
        stages: With run, submissions, attempts and checkpoints.
        cluster: Theirs.
        now: Unix seconds.
        digest_bytes: New checkpoints are read to the last byte up to this size in all; the
            others wait for somebody with more time.
    """
    waiting = [stage for stage in stages if open_submission(stage) is not None]
    live = cluster.live()
    past_ids = _ids_to_look_up(waiting, live)
    since = _since(waiting, live, past_ids)
    asks = bool(past_ids) or since is not None
    history = cluster.history(past_ids, since=since) if asks else []
    reader = _Reader(digest_bytes)
    return Observation(
        at=now,
        live=live,
        history=history,
        queries=(1 + asks) if cluster.holds_dependencies else 0,
        files={stage.id: reader.read(stage) for stage in waiting},
    )


def open_submission(stage: StageRun) -> Submission | None:
    """The newest submission of a stage run, if its job may still do something."""
    newest = stage.submissions[-1] if stage.submissions else None
    return newest if newest is not None and newest.state in OPEN_SUBMISSION_STATES else None


def stage_folder(stage: StageRun) -> StageFolder:
    """Where the files of a stage run lie."""
    return RunFolder(Path(stage.run.folder)).stage(stage.stage)


def _ids_to_look_up(stages: Sequence[StageRun], live: Rows) -> list[str]:
    """Jobs that the queue does not show as live, or that have restarted unseen."""
    if isinstance(live, NoAnswer):
        return []
    shown = {row.slurm_id: row for row in live if row.live}
    wanted = []
    for stage in stages:
        submission = open_submission(stage)
        if submission is None or submission.slurm_id is None:
            continue
        row = shown.get(submission.slurm_id)
        if row is None or row.restart > _closed_attempts(stage, submission.slurm_id):
            wanted.append(submission.slurm_id)
    return wanted


def _since(stages: Sequence[StageRun], live: Rows, past_ids: Sequence[str]) -> float | None:
    """From when on all jobs must be asked for: some were sent, and their ids never arrived.

    None: the ids are known. Jobs whose ids are known must be in that answer as well.
    """
    if isinstance(live, NoAnswer):
        return None
    shown = {row.name for row in live}
    opened = [(stage, sub) for stage in stages if (sub := open_submission(stage)) is not None]
    lost = [
        submission
        for stage, submission in opened
        if submission.slurm_id is None
        and submission.sent_at is not None
        and job_name(stage.stage, submission.token) not in shown
    ]
    if not lost:
        return None
    asked = [submission for _, submission in opened if submission.slurm_id in past_ids]
    return min(submission.created_at for submission in [*lost, *asked]) - _CLOCK_SKEW_S


def _closed_attempts(stage: StageRun, slurm_id: str) -> int:
    return sum(a.ended_at is not None for a in stage.attempts if a.slurm_id == slurm_id)


class _Reader:
    """Reads the files of stage runs, with limits on what to digest.

    Args:
        digest_bytes: In all.
    """

    def __init__(self, digest_bytes: float) -> None:
        self._digest_bytes = digest_bytes
        self._begin_until = time.monotonic() + DIGEST_S

    def read(self, stage: StageRun) -> Evidence:
        """The stories of the attempts that matter, and the checkpoints."""
        folder = stage_folder(stage)
        closed = {
            AttemptKey(attempt.slurm_id, attempt.restart)
            for attempt in stage.attempts[:-1]  # the state follows from the last, closed or not
            if attempt.ended_at is not None
        }
        told = {key: path for path in folder.events.glob("*.jsonl") if (key := _key(path))}
        stories = {key: read_story(path) for key, path in told.items() if key not in closed}
        known = {(c.path, c.created_at) for c in stage.checkpoints if c.verified_at is not None}
        seen = [self._checkpoint(path, known) for path in checkpoint_folders(folder.checkpoints)]
        return Evidence(stories, tuple(each for each in seen if each is not None))

    def _checkpoint(self, path: Path, known: set[tuple[str, float]]) -> SeenCheckpoint | None:
        manifest = read_manifest(path)
        try:
            written_at = (path / NAME).stat().st_mtime
        except OSError:  # a newer checkpoint has taken its place meanwhile
            return None
        if manifest is None:
            return None
        was_read = (str(path), written_at) in known
        digests = not was_read and self._may_digest(manifest.bytes)
        found = tuple(faults(path, manifest, digests=digests))
        verified = (digests or was_read) and not found
        return SeenCheckpoint(path, manifest, found, verified, written_at)

    def _may_digest(self, size: int) -> bool:
        """Whether there is time and room for so many bytes; they are taken off the limit."""
        if size > self._digest_bytes or time.monotonic() > self._begin_until:
            return False
        self._digest_bytes -= size
        return True


def _key(path: Path) -> AttemptKey | None:
    """The attempt that an event file of rank 0 is about; None for other files."""
    try:
        return AttemptKey.parse(path.stem)
    except ValueError:
        return None
