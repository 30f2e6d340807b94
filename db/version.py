"""Which version a ledger has, and the way to this launcher's one.

A version is the number of a migration. Alembic takes as long to import as all the rest of
`launcher status`, so it comes in only when a ledger is really older.
"""

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from db.errors import LedgerError

MIGRATIONS = Path(__file__).parent / "migrations"


def bring_up_to_date(reading: Engine, writing: Engine, where: str, migrations: Path) -> None:
    """Migrates a ledger that is older than the newest migration.

    Safe when two processes do it at once: the second one waits, then finds nothing to do. A process
    killed in the middle leaves the old version.

    Args:
        reading: takes no lock.
        writing: each of its transactions is the only one that writes.
        where: the ledger, for errors.
        migrations: the folder of the migrations.

    Raises:
        LedgerError: not a ledger, or one of a version that has no migration here.
    """
    known = versions(migrations)
    with reading.connect() as connection:
        if _is_newest(connection, where, known):
            return
    with writing.begin() as connection:
        if not _is_newest(connection, where, known):
            from db.migrate import upgrade  # noqa: PLC0415 -- alembic: see above

            upgrade(connection, migrations)


def versions(migrations: Path) -> list[str]:
    """The versions that the migrations lead through, oldest first."""
    return sorted(file.name.split("_")[0] for file in migrations.glob("versions/[0-9]*_*.py"))


def _is_newest(connection: Connection, where: str, known: list[str]) -> bool:
    version = _version(connection, where)
    if version is not None and version not in known:
        raise LedgerError(
            where,
            f"it has version {version}, this launcher knows up to {known[-1]}",
            "use the launcher that wrote it, or a newer one",
        )
    return version == known[-1]


def _version(connection: Connection, where: str) -> str | None:
    """The ledger's version; None for an empty database."""
    tables = inspect(connection).get_table_names()
    if "alembic_version" in tables:
        version: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return version
    if tables:
        raise LedgerError(
            where,
            f"this database is not a ledger: it has the tables {', '.join(tables)}",
            "set LAUNCHER_LEDGER to the right one",
        )
    return None
