"""Runs migrations. The only module that imports alembic."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection


def upgrade(connection: Connection, migrations: Path) -> None:
    """Brings the database to the newest version, within the transaction that is open."""
    config = Config()
    # A percent sign is an escape in alembic's configuration.
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
