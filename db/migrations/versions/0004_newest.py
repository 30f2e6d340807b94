"""Indexes for what is asked of a large ledger: the newest runs, how attempts ended, passes."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Adds indexes; no row changes."""
    op.create_index("ix_run_created_at", "run", ["created_at", "id"])
    op.create_index("ix_run_state", "run", ["state", "created_at", "id"])
    op.create_index("ix_run_name", "run", ["name", "created_at"])
    op.create_index("ix_attempt_cluster", "attempt", ["cluster", "ended_at"])
    op.create_index("ix_pass_ended_at", "pass", ["ended_at"])
