"""Events are never changed on a server either; a file has refused it since 0001."""

from alembic import op

revision = "0005"
down_revision = "0004"

_FUNCTION = """
CREATE FUNCTION event_refuses() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE integrity_constraint_violation USING MESSAGE = 'events are never changed';
END $$
"""
_TRIGGER = """
CREATE TRIGGER event_refuses BEFORE UPDATE OR DELETE ON event
FOR EACH ROW EXECUTE FUNCTION event_refuses()
"""


def upgrade() -> None:
    """Adds a trigger on PostgreSQL; no row changes."""
    if op.get_context().dialect.name == "postgresql":
        op.execute(_FUNCTION)
        op.execute(_TRIGGER)
