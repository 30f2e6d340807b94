"""What the pass must remember from one time to the next."""

from collections.abc import Mapping

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Adds columns that may be empty, and the table of cursors."""
    for table, columns in _COLUMNS.items():
        for name, kind in columns.items():
            op.add_column(table, sa.Column(name, kind))
    op.create_table(
        "cursor",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_cursor"),
    )
    # What happened before there were passes needs no message any more.
    op.execute("INSERT INTO cursor SELECT 'news', COALESCE(MAX(id), 0) FROM event")
    # A job that was on its way may exist: it must be looked for before it is sent again.
    op.execute(
        "UPDATE submission SET sent_at = created_at WHERE state = 'submitting' AND stage_run_id IN "
        "(SELECT id FROM stage_run WHERE cluster = 'slurm')"
    )
    op.create_index("ix_pass_started_at", "pass", ["started_at"])


_COLUMNS: dict[str, Mapping[str, sa.Double[float] | sa.String | sa.Integer]] = {
    "run": {"deadline_at": sa.Double(), "max_gpu_hours": sa.Double()},
    "stage_run": {"why": sa.String(), "rule": sa.String(), "counted_from": sa.Double()},
    "submission": {
        "job_name": sa.String(),
        "rule": sa.String(),
        "sent_at": sa.Double(),
        "unseen_since": sa.Double(),
        "unseen_passes": sa.Integer(),
        "mark": sa.String(),
        "moved_at": sa.Double(),
        "releases": sa.Integer(),
        "intent": sa.String(),
        "intent_at": sa.Double(),
    },
    "attempt": {"error": sa.String(), "fault": sa.String(), "host": sa.String()},
}
