import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect

from db.engine import open_engine
from db.errors import LedgerError
from db.schema import Base
from db.version import MIGRATIONS, versions

REPOSITORY = Path(__file__).parents[2]
NEWEST = versions(MIGRATIONS)[-1]
NEXT = """
import os
import signal
import sqlalchemy as sa
from alembic import op
revision = "9000"
down_revision = "{newest}"

def upgrade() -> None:
    op.add_column("lease", sa.Column("note", sa.String()))
    {then}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def next_launcher(folder: Path, *, then: str = "pass") -> Path:
    """The migrations of a launcher with one more of them."""
    migrations = shutil.copytree(MIGRATIONS, folder / "migrations")
    (migrations / "versions" / "9000_note.py").write_text(NEXT.format(then=then, newest=NEWEST))
    return migrations


def columns_of_lease(file: Path) -> list[str]:
    engine = create_engine(f"sqlite:///{file}")
    columns = [column["name"] for column in inspect(engine).get_columns("lease")]
    engine.dispose()
    return columns


def test_migrations_make_the_tables_of_the_schema(url):
    engine = open_engine(url, create=True)

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_migrations_make_the_check_constraints_of_the_schema(tmp_path, file):
    migrated = inspect(open_engine(f"sqlite:///{file}", create=True))
    wanted_engine = create_engine(f"sqlite:///{tmp_path / 'wanted.db'}")
    Base.metadata.create_all(wanted_engine)
    wanted = inspect(wanted_engine)

    checks = {table: migrated.get_check_constraints(table) for table in Base.metadata.tables}

    assert checks == {table: wanted.get_check_constraints(table) for table in Base.metadata.tables}
    assert sum(len(found) for found in checks.values()) == 4
    wanted_engine.dispose()


def test_version_numbers_are_alembics_chain_of_revisions():
    script = ScriptDirectory(str(MIGRATIONS))

    chain = [revision.revision for revision in script.walk_revisions()]

    assert versions(MIGRATIONS) == chain[::-1]


def test_older_ledger_is_migrated_and_keeps_its_rows(tmp_path, file):
    open_engine(f"sqlite:///{file}", create=True)
    with sqlite3.connect(file) as database:
        database.execute("INSERT INTO lease VALUES ('pass', 7, 'login1', 1, 2.0)")
    database.close()

    engine = open_engine(f"sqlite:///{file}", create=False, migrations=next_launcher(tmp_path))

    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT name, number, note FROM lease").all()
    assert rows == [("pass", 7, None)]


def test_newer_ledger_is_refused(tmp_path, file):
    open_engine(f"sqlite:///{file}", create=True, migrations=next_launcher(tmp_path))

    with pytest.raises(LedgerError) as refusal:
        open_engine(f"sqlite:///{file}", create=True)

    assert str(refusal.value) == (
        f"{file}: it has version 9000, this launcher knows up to {NEWEST}; "
        "use the launcher that wrote it, or a newer one"
    )


def test_empty_file_becomes_a_ledger(file):
    file.touch()

    engine = open_engine(f"sqlite:///{file}", create=False)

    assert set(Base.metadata.tables) < set(inspect(engine).get_table_names())


def test_migration_killed_in_the_middle_leaves_the_old_version(tmp_path, file):
    open_engine(f"sqlite:///{file}", create=True)
    deadly = next_launcher(tmp_path, then="os.kill(os.getpid(), signal.SIGKILL)")

    killed = subprocess.run(
        [sys.executable, "-m", "tests.db.programs", "migrate", f"sqlite:///{file}", str(deadly)],
        cwd=REPOSITORY,
        timeout=180,
        check=False,
    )

    assert killed.returncode == -signal.SIGKILL
    assert "note" not in columns_of_lease(file)
    open_engine(f"sqlite:///{file}", create=False)


def test_processes_that_make_the_same_ledger_at_once_all_succeed(file):
    command = [sys.executable, "-m", "tests.db.programs", "migrate", f"sqlite:///{file}"]
    makers = [subprocess.Popen([*command, str(MIGRATIONS)], cwd=REPOSITORY) for _ in range(4)]

    assert [maker.wait(timeout=180) for maker in makers] == [0, 0, 0, 0]


def test_ledger_of_the_newest_version_is_opened_without_alembic(file):
    open_engine(f"sqlite:///{file}", create=True)

    said = subprocess.check_output(
        [sys.executable, "-m", "tests.db.programs", "imports", f"sqlite:///{file}"],
        cwd=REPOSITORY,
        text=True,
        timeout=180,
    )

    assert said == "['sqlalchemy']\n"


def test_migrations_leave_logging_alone(file, caplog, capsys):
    open_engine(f"sqlite:///{file}", create=True)

    assert capsys.readouterr() == ("", "")
    assert [entry for entry in caplog.records if entry.levelname != "INFO"] == []
