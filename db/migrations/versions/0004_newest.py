"""Indexes for what is asked of a large ledger; the seconds of the steps of an attempt."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Adds indexes and a column; no row changes."""
    op.add_column("attempt", sa.Column("work_s", sa.Double()))
    op.create_index("ix_run_created_at", "run", ["created_at", "id"])
    op.create_index("ix_run_state", "run", ["state", "created_at", "id"])
    op.create_index("ix_run_name", "run", ["name", "created_at"])
    op.create_index("ix_attempt_cluster", "attempt", ["cluster", "ended_at"])
    op.create_index("ix_pass_ended_at", "pass", ["ended_at"])
