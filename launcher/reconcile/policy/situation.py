"""What is known about a stage run when a decision is due. Times are Unix seconds."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from db.states import DONE_STATES, StageState
from launcher.cluster.states import Ending, Meaning

By = Literal["", "self", "other", "slurm", "unknown"]


class Handover(StrEnum):
    """How far the newest submission has come."""

    NONE = "none"  # there is none that could still become a job
    UNSENT = "unsent"  # its job cannot exist yet
    SENT = "sent"  # its job may exist, nobody has seen it
    JOB = "job"  # it is a job


@dataclass(frozen=True)
class Budgets:
    """When a stage is given up; the keys of `requeue` in the pipeline file.

    Attributes:
        no_progress: Attempts in a row that may end without a newer checkpoint.
        failures: Failures in a row that are tried again.
        storm: Attempts within half an hour after which the stage waits.
        hang_s: Least time without a step before a job counts as hung.
    """

    no_progress: int = 3
    failures: int = 2
    storm: int = 5
    hang_s: float = 600.0


@dataclass(frozen=True)
class Parent:
    """A stage that this one needs.

    Attributes:
        stage: Its name.
        state: Its state after this pass's decision about it.
        slurm_id: Its job, if that can still succeed.
    """

    stage: str
    state: StageState
    slurm_id: str | None = None

    @property
    def done(self) -> bool:
        """Whether its result is there."""
        return self.state in DONE_STATES


@dataclass(frozen=True, kw_only=True)
class Queued:
    """The newest submission's job as the queue shows it: it can still do something.

    Attributes:
        meaning: Of Slurm's state word and reason.
        word: Slurm's word.
        reason: Why it waits.
        never_satisfied: It waits for parents that can never succeed any more.
        held_after_launch: Slurm held it because it could not be started.
        restart: How often it had been requeued.
        waits_for: Slurm ids that its dependency was last set to.
        still_s: Seconds, by the launcher's clock, in which its training has not moved; None: it
            does not train now, or has not told of a step yet.
        hang_after_s: From when on that counts as hung.
    """

    meaning: Meaning
    word: str
    reason: str = ""
    never_satisfied: bool = False
    held_after_launch: bool = False
    restart: int = 0
    waits_for: tuple[str, ...] = ()
    still_s: float | None = None
    hang_after_s: float = 600.0


@dataclass(frozen=True, kw_only=True)
class End:
    """How the last attempt of the newest submission ended.

    Attributes:
        ending: By Slurm's word; None: Slurm does not say (yet).
        by: Who cancelled it; "slurm": accounting names no user; "unknown": it has not said.
        outcome: What the job itself said at last: done, stopped, failed, refused; None: nothing.
        fault: The kind of fault that it named, see `jobs.contract.events`.
        error: The exception's name.
        message: Its words.
        started: It had its nodes.
        ran_s: For how long.
        step: Last step that it told.
        stepped: It made at least one step.
        progress: Steps that its newest valid checkpoint is ahead of the one it began with; of a
            stage that saves none, that it came further than any attempt before it.
        ended_by_others: When it stopped, Slurm was ending it already: a cancel, or the end of its
            grace or of its time.
        host: Node of the rank that failed first.
        at: When it ended.
        exit_code: Of the batch script or the job.
        memory: What it was given, for people.
    """

    ending: Ending | None = None
    by: By = ""
    outcome: str | None = None
    fault: str = ""
    error: str | None = None
    message: str = ""
    started: bool = True
    ran_s: float | None = None
    step: int | None = None
    stepped: bool = False
    progress: int = 0
    ended_by_others: bool = False
    host: str = ""
    at: float = 0.0
    exit_code: int | None = None
    memory: str = ""


@dataclass(frozen=True, kw_only=True)
class Past:
    """An attempt that has ended, as the budgets count it.

    Attributes:
        progress: Steps by which it moved the newest checkpoint; see `End`.
        failed: It ended by its own fault.
        kind: Its cause, as a word.
        error: The exception's name.
        step: Last step it told.
        started_at: When it got its nodes; None: never.
    """

    progress: int = 0
    failed: bool = False
    kind: str = ""
    error: str | None = None
    step: int | None = None
    started_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class Situation:
    """Everything that a decision about one stage run rests on.

    Attributes:
        stage: Its name.
        now: The launcher's clock.
        state: As the ledger has it.
        answered: The queue was shown to us; otherwise nothing may be done.
        accounting: Accounting answered, or there was no need to ask.
        is_local: Jobs are processes on this machine; somebody sits in front of it.
        resumable: A stopped attempt can be continued.
        rule: The rule that this state rests on.
        done: Its final checkpoint is there and valid.
        unverified: It is there, and its bytes have not been read yet.
        parents: What it needs.
        handover: How far its newest submission has come.
        waits_in_queue: The cluster takes jobs before their parents are done.
        sent_s: Seconds since the newest submission was sent.
        intent: What the launcher wants of the newest submission's job: "", cancel, hold, hang.
        queued: The job in the queue; None: not there.
        end: How its last attempt ended; None: it has not, or nobody says.
        unseen_s: Seconds for which nobody has known the job.
        unseen_passes: Passes for which nobody has known it.
        silent_s: Seconds for which its files have told nothing new.
        past: Attempts that count, oldest first; the ended one of `end` is the last of them.
        saves: It saves checkpoints, so that what moves shows.
        checkpoints: How many valid checkpoints there are.
        all_damaged: There are checkpoints, and not one of them is valid.
        releases: How often the job has been released from Slurm's hold.
        budgets: The stage's.
        deadline_at: The run's.
        gpu_hours: The run has used.
        max_gpu_hours: The run may use.
    """

    stage: str
    now: float
    state: StageState
    answered: bool = True
    accounting: bool = True
    is_local: bool = False
    resumable: bool = True
    rule: str = ""
    done: bool = False
    unverified: bool = False
    parents: tuple[Parent, ...] = ()
    handover: Handover = Handover.JOB
    waits_in_queue: bool = True
    sent_s: float = 0.0
    intent: str = ""
    queued: Queued | None = None
    end: End | None = None
    unseen_s: float = 0.0
    unseen_passes: int = 0
    silent_s: float = 0.0
    past: tuple[Past, ...] = ()
    saves: bool = True
    checkpoints: int = 0
    all_damaged: bool = False
    releases: int = 0
    budgets: Budgets = Budgets()
    deadline_at: float | None = None
    gpu_hours: float = 0.0
    max_gpu_hours: float | None = None

    @property
    def parents_done(self) -> bool:
        """Whether every parent's result is there."""
        return all(parent.done for parent in self.parents)

    @property
    def can_be_submitted(self) -> bool:
        """Whether a job could be handed over now: parents are done, or jobs that may succeed."""
        if self.parents_done:
            return True
        known = all(parent.done or parent.slurm_id is not None for parent in self.parents)
        return self.waits_in_queue and known

    @property
    def wanted_dependency(self) -> tuple[str, ...]:
        """Slurm ids that its job has to wait for."""
        return tuple(p.slurm_id for p in self.parents if not p.done and p.slurm_id is not None)
