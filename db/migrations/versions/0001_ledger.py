"""The first ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

RUN_STATES = ("submitting", "running", "done", "held", "failed", "cancelled")
STAGE_STATES = (
    "waiting",
    "reused",
    "submitting",
    "pending",
    "running",
    "done",
    "interrupted",
    "held",
    "failed",
    "cancelled",
)
STAGE_KINDS = ("train", "evaluate", "reuse", "command")
SUBMISSION_STATES = ("submitting", "submitted", "failed", "closed")


def upgrade() -> None:
    """Makes all tables in a database that has none."""
    _make_runs()
    _make_submissions()
    _make_attempts()
    _make_checkpoints()
    _make_events()
    _make_housekeeping()


def _words(column: str, words: tuple[str, ...], constraint: str) -> sa.Column[str]:
    """A column that takes only these words."""
    kind = sa.Enum(
        *words, name=op.f(constraint), native_enum=False, create_constraint=True, length=16
    )
    return sa.Column(column, kind, nullable=False)


def _make_runs() -> None:
    op.create_table(
        "run",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("pipeline_yaml", sa.String(), nullable=False),
        sa.Column("code_sha", sa.String(), nullable=False),
        sa.Column("code_dirty", sa.Boolean(), nullable=False),
        sa.Column("submitted_by", sa.String(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        _words("state", RUN_STATES, "ck_run_state"),
        sa.PrimaryKeyConstraint("id", name="pk_run"),
    )
    op.create_table(
        "stage_run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        _words("kind", STAGE_KINDS, "ck_stage_run_kind"),
        sa.Column("needs", sa.JSON(), nullable=False),
        _words("state", STAGE_STATES, "ck_stage_run_state"),
        sa.Column("nodes", sa.Integer(), nullable=False),
        sa.Column("gpus_per_node", sa.Integer(), nullable=False),
        sa.Column("tasks_per_node", sa.Integer(), nullable=False),
        sa.Column("total_steps", sa.Integer()),
        sa.Column("resumable", sa.Boolean(), nullable=False),
        sa.Column("cluster", sa.String(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_stage_run"),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_stage_run_run_id"),
        sa.UniqueConstraint("run_id", "stage", name="uq_stage_run_run_id_stage"),
    )


def _make_submissions() -> None:
    op.create_table(
        "submission",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("stage_run_id", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("slurm_id", sa.String()),
        _words("state", SUBMISSION_STATES, "ck_submission_state"),
        sa.Column("parents", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("submitted_at", sa.Double()),
        sa.Column("error", sa.String()),
        sa.PrimaryKeyConstraint("id", name="pk_submission"),
        sa.ForeignKeyConstraint(
            ["stage_run_id"], ["stage_run.id"], name="fk_submission_stage_run_id"
        ),
        sa.UniqueConstraint("token", name="uq_submission_token"),
        sa.UniqueConstraint("stage_run_id", "fence", name="uq_submission_stage_run_id_fence"),
    )
    op.create_index("ix_submission_state", "submission", ["state"])


def _make_attempts() -> None:
    op.create_table(
        "attempt",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("submission_id", sa.Integer(), nullable=False),
        sa.Column("stage_run_id", sa.Integer(), nullable=False),
        sa.Column("cluster", sa.String(), nullable=False),
        sa.Column("slurm_id", sa.String(), nullable=False),
        sa.Column("restart", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("cause", sa.String()),
        sa.Column("reason", sa.String()),
        sa.Column("queued_at", sa.Double()),
        sa.Column("started_at", sa.Double()),
        sa.Column("ended_at", sa.Double()),
        sa.Column("wall_clock_s", sa.Double()),
        sa.Column("queued_s", sa.Double()),
        sa.Column("gpu_s", sa.Double()),
        sa.Column("first_step", sa.Integer()),
        sa.Column("last_step", sa.Integer()),
        sa.Column("total_steps", sa.Integer()),
        sa.Column("steps_gained", sa.Integer()),
        sa.Column("steps_lost", sa.Integer()),
        sa.Column("nodes", sa.String()),
        sa.Column("exit_code", sa.Integer()),
        sa.Column("exit_kind", sa.String()),
        sa.Column("message", sa.String()),
        sa.Column("loss", sa.Double()),
        sa.Column("step_s", sa.Double()),
        sa.PrimaryKeyConstraint("id", name="pk_attempt"),
        sa.ForeignKeyConstraint(
            ["submission_id"], ["submission.id"], name="fk_attempt_submission_id"
        ),
        sa.ForeignKeyConstraint(["stage_run_id"], ["stage_run.id"], name="fk_attempt_stage_run_id"),
        sa.UniqueConstraint(
            "cluster", "slurm_id", "restart", name="uq_attempt_cluster_slurm_id_restart"
        ),
    )
    op.create_index("ix_attempt_stage_run_id", "attempt", ["stage_run_id"])


def _make_checkpoints() -> None:
    op.create_table(
        "checkpoint",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("stage_run_id", sa.Integer(), nullable=False),
        sa.Column("attempt_id", sa.Integer()),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("verified_at", sa.Double()),
        sa.Column("final", sa.Boolean(), nullable=False),
        sa.Column("save_s", sa.Double(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_checkpoint"),
        sa.ForeignKeyConstraint(
            ["stage_run_id"], ["stage_run.id"], name="fk_checkpoint_stage_run_id"
        ),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name="fk_checkpoint_attempt_id"),
        sa.UniqueConstraint("stage_run_id", "path", name="uq_checkpoint_stage_run_id_path"),
    )


def _make_events() -> None:
    op.create_table(
        "event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String()),
        sa.Column("stage_run_id", sa.Integer()),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_event"),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_event_run_id"),
        sa.ForeignKeyConstraint(["stage_run_id"], ["stage_run.id"], name="fk_event_stage_run_id"),
    )
    op.create_index("ix_event_run_id", "event", ["run_id"])
    if op.get_context().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER event_refuses_{change.lower()} BEFORE {change} ON event "
                "BEGIN SELECT RAISE(ABORT, 'events are never changed'); END"
            )


def _make_housekeeping() -> None:
    op.create_table(
        "quarantined_node",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("cluster", sa.String(), nullable=False),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("evidence", sa.String(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_quarantined_node"),
    )
    op.create_table(
        "pass",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double()),
        sa.Column("degraded", sa.Boolean(), nullable=False),
        sa.Column("queries", sa.Integer(), nullable=False),
        sa.Column("did", sa.JSON(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pass"),
    )
    op.create_table(
        "lease",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_lease"),
    )
