import sqlite3
from pathlib import Path

import pytest

from db.engine import ledger_url, open_engine
from db.errors import LedgerError
from db.ledger import Ledger
from tests.db.conftest import ON_A_FILE, ON_A_SERVER


def refusal_of(url: str, *, create: bool = True) -> str:
    with pytest.raises(LedgerError) as refusal:
        open_engine(url, create=create, busy_timeout_s=0.1)
    return str(refusal.value)


def test_ledger_lies_in_the_runs_folder_by_default():
    assert ledger_url(Path("/data/runs"), {}) == "sqlite:////data/runs/ledger.db"


def test_ledger_is_where_the_environment_says():
    shared = {"LAUNCHER_LEDGER": "postgresql+psycopg://lab/ledger"}

    assert ledger_url(Path("/data/runs"), shared) == "postgresql+psycopg://lab/ledger"


def test_missing_ledger_is_not_made_by_a_reader(tmp_path):
    file = tmp_path / "ledger.db"

    message = refusal_of(f"sqlite:///{file}", create=False)

    assert message == (
        f"{file}: there is no ledger here; "
        "submit a run first, or set LAUNCHER_LEDGER or the runs folder to where it lies"
    )
    assert not file.exists()


def test_file_that_is_no_database_is_refused_and_left_alone(tmp_path):
    file = tmp_path / "ledger.db"
    file.write_text("not a database at all\n" * 100)

    message = refusal_of(f"sqlite:///{file}")

    assert message.startswith(f"{file}: this file is not a ledger; ")
    assert file.read_text() == "not a database at all\n" * 100


def test_database_of_another_program_is_refused(tmp_path):
    file = tmp_path / "other.db"
    database = sqlite3.connect(file)
    database.execute("CREATE TABLE recipes (name)")
    database.close()

    message = refusal_of(f"sqlite:///{file}")

    assert "is not a ledger: it has the tables recipes" in message


@ON_A_FILE
@pytest.mark.usefixtures("ledger")
def test_damaged_ledger_is_refused(tmp_path, url):
    file = tmp_path / "runs" / "ledger.db"
    whole = file.read_bytes()
    file.write_bytes(whole[:100] + b"\xff" * (len(whole) - 100))

    assert "the database is damaged" in refusal_of(url)


@ON_A_FILE
@pytest.mark.usefixtures("ledger")
def test_locked_ledger_is_refused_after_the_busy_timeout(tmp_path, url):
    holder = sqlite3.connect(tmp_path / "runs" / "ledger.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    writer = Ledger(open_engine(url, create=False, busy_timeout_s=0.1))
    with pytest.raises(LedgerError, match="another process keeps it locked"), writer.write():
        pass

    holder.close()


@ON_A_SERVER
def test_server_that_another_writer_keeps_busy_is_refused_after_the_timeout(ledger, url):
    waiting = Ledger(open_engine(url, create=False, busy_timeout_s=0.1))

    with (
        ledger.write(),
        pytest.raises(LedgerError, match="another process keeps it locked"),
        waiting.write(),
    ):
        pass


@pytest.mark.parametrize("url", ["postgresql+psycopg://lab:secret@127.0.0.1:1/ledger"])
def test_server_that_is_not_there_is_an_error_of_the_ledger(url):
    message = refusal_of(url)

    assert message.startswith("postgresql+psycopg://lab:***@127.0.0.1:1/ledger: ")
    assert "refused" in message


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "this is not a database URL"),
        ("sqlite://", "it would be lost at the end"),
        ("parchment://x/y", "its driver is missing"),
    ],
)
def test_url_that_names_no_ledger_is_refused(url, said):
    assert said in refusal_of(url)


def test_password_of_a_server_is_not_shown():
    message = refusal_of("parchment://someone:secret@host/ledger")

    assert message.startswith("parchment://someone:***@host/ledger: ")


def test_folder_that_cannot_be_made_is_an_error_of_the_ledger(tmp_path):
    (tmp_path / "runs").write_text("a file")

    message = refusal_of(f"sqlite:///{tmp_path}/runs/deep/ledger.db")

    assert "its folder cannot be made: " in message
