"""The tables of the ledger.

`_at` and `since`/`until` are Unix seconds, UTC. `_s` is seconds, `gpu_s` GPU-seconds. A step is one
optimizer step. NULL means: not known (yet). JSON columns are replaced as a whole, never changed in
place. Each change here needs a migration; `tests/db/test_migrations.py` compares the two.
"""

from enum import StrEnum

from sqlalchemy import JSON, BigInteger, Double, Enum, ForeignKey, Index, MetaData, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column, relationship

from db.states import RunState, StageKind, StageState, SubmissionState

NAMES = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "ix": "ix_%(table_name)s_%(column_0_name)s",
}


def _words(words: type[StrEnum], name: str) -> Enum:
    """A text column that takes only these words, by a CHECK on every database."""
    return Enum(
        words,
        name=name,
        native_enum=False,
        create_constraint=True,
        validate_strings=True,
        length=16,
        values_callable=lambda members: [str(member) for member in members],
    )


class Base(MappedAsDataclass, DeclarativeBase, kw_only=True, eq=False):
    """Rows are dataclasses: arguments by name, checked by mypy; two rows are never equal."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {  # noqa: RUF012 -- SQLAlchemy reads it; ClassVar would hide it from mypy
        float: Double,  # SQLAlchemy's own choice differs between 2.0 and 2.1
        dict[str, object]: JSON,
        list[str]: JSON,
        RunState: _words(RunState, "state"),
        StageState: _words(StageState, "state"),
        StageKind: _words(StageKind, "kind"),
        SubmissionState: _words(SubmissionState, "state"),
    }


class Run(Base, kw_only=True):
    """One submission of a pipeline."""

    __tablename__ = "run"
    __table_args__ = (
        Index(None, "created_at", "id"),  # the newest one
        Index(None, "state", "created_at", "id"),  # those that go on, without their long rows
        Index(None, "name", "created_at"),  # earlier runs of a pipeline
    )

    id: Mapped[str] = mapped_column(primary_key=True)  # the name of its folder
    name: Mapped[str]  # the pipeline's
    folder: Mapped[str]
    pipeline_yaml: Mapped[str]  # the resolved file, as frozen in the run folder
    code_sha: Mapped[str]  # git commit, or the version
    code_dirty: Mapped[bool]  # the working tree differed from it
    submitted_by: Mapped[str]
    created_at: Mapped[float]
    state: Mapped[RunState] = mapped_column(default=RunState.SUBMITTING)
    deadline_at: Mapped[float | None] = mapped_column(default=None)
    max_gpu_hours: Mapped[float | None] = mapped_column(default=None)

    stages: Mapped[list["StageRun"]] = relationship(
        default_factory=list,
        repr=False,
        back_populates="run",
        order_by="StageRun.position",
        lazy="raise",
    )


class StageRun(Base, kw_only=True):
    """One stage of one run."""

    __tablename__ = "stage_run"
    __table_args__ = (UniqueConstraint("run_id", "stage"),)

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), init=False)
    stage: Mapped[str]
    position: Mapped[int]  # in the order of the file
    kind: Mapped[StageKind]
    needs: Mapped[list[str]]  # names of its parents
    state: Mapped[StageState]
    nodes: Mapped[int]  # asked for; of a range the most
    min_nodes: Mapped[int | None] = mapped_column(default=None)  # of a range the fewest
    gpus_per_node: Mapped[int]
    tasks_per_node: Mapped[int]
    total_steps: Mapped[int | None] = mapped_column(default=None)
    resumable: Mapped[bool]
    cluster: Mapped[str]  # slurm or local
    updated_at: Mapped[float]
    why: Mapped[str | None] = mapped_column(default=None)  # what its state rests on
    rule: Mapped[str | None] = mapped_column(default=None)  # id of the last decision about it
    counted_from: Mapped[float | None] = mapped_column(default=None)  # older attempts are forgiven

    run: Mapped[Run] = relationship(init=False, repr=False, back_populates="stages", lazy="raise")
    submissions: Mapped[list["Submission"]] = relationship(
        default_factory=list,
        repr=False,
        back_populates="stage_run",
        order_by="Submission.fence",
        lazy="raise",
    )
    attempts: Mapped[list["Attempt"]] = relationship(
        init=False,
        repr=False,
        viewonly=True,
        order_by="[Attempt.submission_id, Attempt.restart]",
        lazy="raise",
    )
    checkpoints: Mapped[list["Checkpoint"]] = relationship(
        init=False,
        repr=False,
        viewonly=True,
        order_by="[Checkpoint.step, Checkpoint.id]",
        lazy="raise",
    )


class Submission(Base, kw_only=True):
    """The intent to hand a stage run to a cluster, and what the cluster answered."""

    __tablename__ = "submission"
    __table_args__ = (UniqueConstraint("stage_run_id", "fence"), Index(None, "state"))

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    stage_run_id: Mapped[int] = mapped_column(ForeignKey("stage_run.id"), init=False)
    token: Mapped[str] = mapped_column(unique=True)  # stands in the job's name
    fence: Mapped[int]  # grows with each submission of the stage run
    spec: Mapped[dict[str, object]]  # what the cluster was asked for, and the budgets
    slurm_id: Mapped[str | None] = mapped_column(default=None)  # NULL: not told yet
    state: Mapped[SubmissionState] = mapped_column(default=SubmissionState.SUBMITTING)
    parents: Mapped[list[str]]  # Slurm ids of its `afterok`, as far as they were known
    created_at: Mapped[float]
    submitted_at: Mapped[float | None] = mapped_column(default=None)
    error: Mapped[str | None] = mapped_column(default=None)  # what the cluster said
    job_name: Mapped[str | None] = mapped_column(default=None)  # of an adopted job: its own
    rule: Mapped[str | None] = mapped_column(default=None)  # of the decision that made it
    sent_at: Mapped[float | None] = mapped_column(default=None)  # it may exist since then
    unseen_since: Mapped[float | None] = mapped_column(default=None)  # nobody knows its job
    unseen_passes: Mapped[int | None] = mapped_column(default=None)  # in so many
    mark: Mapped[str | None] = mapped_column(default=None)  # how far its job had come
    moved_at: Mapped[float | None] = mapped_column(default=None)  # when that last changed
    releases: Mapped[int | None] = mapped_column(default=None)  # from a hold that Slurm imposed
    intent: Mapped[str | None] = mapped_column(default=None)  # what the launcher wants of its job
    intent_at: Mapped[float | None] = mapped_column(default=None)

    stage_run: Mapped[StageRun] = relationship(
        init=False, repr=False, back_populates="submissions", lazy="raise"
    )


class Attempt(Base, kw_only=True):
    """One time a job held an allocation, or waits for it."""

    __tablename__ = "attempt"
    __table_args__ = (
        UniqueConstraint("cluster", "slurm_id", "restart"),
        Index(None, "cluster", "ended_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    submission_id: Mapped[int] = mapped_column(ForeignKey("submission.id"))
    stage_run_id: Mapped[int] = mapped_column(ForeignKey("stage_run.id"), index=True)
    cluster: Mapped[str]
    slurm_id: Mapped[str]
    restart: Mapped[int]  # how often Slurm had requeued the job
    state: Mapped[str]  # Slurm's word
    cause: Mapped[str | None] = mapped_column(default=None)  # why it ended
    reason: Mapped[str | None] = mapped_column(default=None)  # why it waited, in Slurm's words
    queued_at: Mapped[float | None] = mapped_column(default=None)
    started_at: Mapped[float | None] = mapped_column(default=None)
    ended_at: Mapped[float | None] = mapped_column(default=None)
    wall_clock_s: Mapped[float | None] = mapped_column(default=None)
    queued_s: Mapped[float | None] = mapped_column(default=None)
    gpu_s: Mapped[float | None] = mapped_column(default=None)  # wall-clock times GPUs that it got
    first_step: Mapped[int | None] = mapped_column(default=None)  # that it resumed at
    last_step: Mapped[int | None] = mapped_column(default=None)  # that was done
    total_steps: Mapped[int | None] = mapped_column(default=None)
    steps_gained: Mapped[int | None] = mapped_column(default=None)  # by its checkpoints
    steps_lost: Mapped[int | None] = mapped_column(default=None)  # to be done again
    nodes: Mapped[str | None] = mapped_column(default=None)  # in Slurm's words
    num_nodes: Mapped[int | None] = mapped_column(default=None)  # that it got
    exit_code: Mapped[int | None] = mapped_column(default=None)
    exit_kind: Mapped[str | None] = mapped_column(default=None)  # done, stopped, failed or refused
    message: Mapped[str | None] = mapped_column(default=None)  # its last words
    error: Mapped[str | None] = mapped_column(default=None)  # name of the exception
    fault: Mapped[str | None] = mapped_column(default=None)  # kind of the error
    host: Mapped[str | None] = mapped_column(default=None)  # of the rank that failed first
    loss: Mapped[float | None] = mapped_column(default=None)
    step_s: Mapped[float | None] = mapped_column(default=None)  # seconds one step takes
    work_s: Mapped[float | None] = mapped_column(default=None)  # of its steps, without their data


class Checkpoint(Base, kw_only=True):
    """A checkpoint on disk, as its manifest describes it."""

    __tablename__ = "checkpoint"
    __table_args__ = (UniqueConstraint("stage_run_id", "path"),)

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    stage_run_id: Mapped[int] = mapped_column(ForeignKey("stage_run.id"))
    attempt_id: Mapped[int | None] = mapped_column(ForeignKey("attempt.id"), default=None)
    step: Mapped[int]
    path: Mapped[str]
    bytes: Mapped[int] = mapped_column(BigInteger)
    files: Mapped[int]  # how many
    digest: Mapped[str]  # of its manifest
    verified_at: Mapped[float | None] = mapped_column(default=None)
    final: Mapped[bool]
    save_s: Mapped[float]  # seconds until it was whole on the disk
    created_at: Mapped[float]


class Event(Base, kw_only=True):
    """Something that happened, in the past tense. Never changed, never deleted."""

    __tablename__ = "event"

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    run_id: Mapped[str | None] = mapped_column(ForeignKey("run.id"), default=None, index=True)
    stage_run_id: Mapped[int | None] = mapped_column(ForeignKey("stage_run.id"), default=None)
    at: Mapped[float]
    kind: Mapped[str]
    text: Mapped[str]
    data: Mapped[dict[str, object]] = mapped_column(default_factory=dict)  # often with a `rule`


class QuarantinedNode(Base, kw_only=True):
    """A node that jobs keep away from for a while."""

    __tablename__ = "quarantined_node"

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    cluster: Mapped[str]
    node: Mapped[str]
    reason: Mapped[str]
    evidence: Mapped[str]
    since: Mapped[float]
    until: Mapped[float]


class Pass(Base, kw_only=True):
    """One comparison of the ledger with the cluster and the files."""

    __tablename__ = "pass"

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    started_at: Mapped[float] = mapped_column(index=True)
    ended_at: Mapped[float | None] = mapped_column(default=None, index=True)
    degraded: Mapped[bool]  # the cluster did not answer
    queries: Mapped[int]  # put to the scheduler
    did: Mapped[list[str]]  # one line for each act
    host: Mapped[str]
    pid: Mapped[int]


class Lease(Base, kw_only=True):
    """Who may act now; `number` grows with each new holder."""

    __tablename__ = "lease"

    name: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int]
    host: Mapped[str]
    pid: Mapped[int]
    expires_at: Mapped[float]


class Cursor(Base, kw_only=True):
    """How far a reader of the events has come."""

    __tablename__ = "cursor"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int]  # id of the last event
