"""A ledger that is whole, damaged, locked or of another version; and its passes."""

import sqlite3
from pathlib import Path

import pytest

from db.health import look_at
from db.ledger import Ledger
from db.version import MIGRATIONS, versions
from launcher.doctor.finding import Level
from launcher.doctor.ledger import Passes, ledger, passes


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A ledger."""
    path = tmp_path / "ledger.db"
    Ledger.open(f"sqlite:///{path}", create=True)
    return path


def told(path: Path) -> list[tuple[str, str]]:
    return [(str(f.level), f.id) for f in ledger(look_at(f"sqlite:///{path}"))]


def test_whole_ledger_is_fine_and_not_touched(file):
    before = file.read_bytes()

    assert told(file) == [("ok", "ledger")]
    assert file.read_bytes() == before


def test_missing_ledger_is_not_made(tmp_path):
    assert told(tmp_path / "ledger.db") == [("note", "ledger-missing")]
    assert list(tmp_path.iterdir()) == []


def test_damaged_ledger_is_an_error(file):
    text = bytearray(file.read_bytes())
    text[4096:12288] = b"\xff" * 8192
    file.write_bytes(text)

    assert told(file) == [("error", "ledger-damaged")]


def test_file_that_is_no_ledger_is_an_error(tmp_path):
    path = tmp_path / "ledger.db"
    path.write_text("something else, long enough to be read as a header" * 10)

    assert told(path) == [("error", "ledger-damaged")]


def test_ledger_of_a_newer_launcher_is_an_error(file):
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()

    assert ("error", "ledger-version") in told(file)


def test_other_journal_than_its_file_system_bears_is_a_warning(file):
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    health = look_at(f"sqlite:///{file}")

    found = [finding.id for finding in ledger(health)]

    assert ("ledger-journal" in found) is (health.wanted_journal != "DELETE")


def test_ledger_that_another_writes_to_is_told(file):
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        found = told(file)
    finally:
        holder.close()

    assert ("warning", "ledger-locked") in found


def test_ledger_on_a_server_is_not_looked_into():
    health = look_at("postgresql+psycopg://ada:secret@db/launcher")

    [found] = ledger(health)

    assert (found.level, "secret" in found.line) == (Level.NOTE, False)


def test_newest_version_is_that_of_the_migrations(file):
    assert look_at(f"sqlite:///{file}").version == versions(MIGRATIONS)[-1]


@pytest.mark.parametrize(
    ("found", "level", "id_"),
    [
        (Passes(("ada's crontab",), 2, 60.0, is_late=False), Level.OK, "passes"),
        (Passes(("ada's crontab",), 2, None, is_late=False), Level.OK, "passes"),
        (Passes(("ada's crontab",), 2, 3600.0, is_late=True), Level.WARNING, "passes-late"),
        (Passes((), None, 60.0, is_late=False), Level.NOTE, "passes-elsewhere"),
        (Passes((), None, 86_400.0, is_late=False), Level.WARNING, "no-passes"),
        (Passes((), None, None, is_late=False), Level.WARNING, "no-passes"),
    ],
)
def test_passes_are_told_by_cron_and_by_the_last_good_one(found, level, id_):
    told = passes(found)

    assert (told.level, told.id) == (level, id_)
