"""Our own words for what runs, stage runs and submissions are. Slurm's words are not here."""

from enum import StrEnum


class RunState(StrEnum):
    """What a run as a whole is."""

    SUBMITTING = "submitting"  # its rows exist, Slurm does not know all of its jobs yet
    RUNNING = "running"
    DONE = "done"
    HELD = "held"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StageState(StrEnum):
    """What a stage run is."""

    WAITING = "waiting"  # for its parents
    REUSED = "reused"  # an existing weights file stands for it
    SUBMITTING = "submitting"  # the intent is written, Slurm's answer is not
    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    INTERRUPTED = "interrupted"
    HELD = "held"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StageKind(StrEnum):
    """What a stage does."""

    TRAIN = "train"
    EVALUATE = "evaluate"
    REUSE = "reuse"
    COMMAND = "command"


class SubmissionState(StrEnum):
    """How far a submission has come."""

    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    FAILED = "failed"  # Slurm refused it
    CLOSED = "closed"  # its job is gone for good, or another submission has taken its place


OPEN_SUBMISSION_STATES = (SubmissionState.SUBMITTING, SubmissionState.SUBMITTED)
"""Submissions that Slurm may still know."""
DONE_STATES = (StageState.DONE, StageState.REUSED)
"""Stages whose result is there."""
