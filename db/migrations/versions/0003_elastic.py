"""Jobs that take what nodes there are: the fewest that will do, and how many an attempt got."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Adds columns that may be empty: a job had all of its nodes, or none."""
    op.add_column("stage_run", sa.Column("min_nodes", sa.Integer()))
    op.add_column("attempt", sa.Column("num_nodes", sa.Integer()))
