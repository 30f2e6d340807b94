import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import exc, func, select, text

from db.errors import LedgerError
from db.record import add_event
from db.schema import Event, Lease
from tests.db.conftest import ON_A_FILE

REPOSITORY = Path(__file__).parents[2]


def start(*arguments: str, **options) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.db.programs", *arguments]
    return subprocess.Popen(command, cwd=REPOSITORY, text=True, **options)


def number_of_events(ledger) -> int:
    with ledger.read() as session:
        return session.scalar(select(func.count()).select_from(Event))


def test_four_writers_at_once_lose_no_transaction(ledger, url):
    with ledger.write() as session:
        session.add(Lease(name="pass", number=0, host="here", pid=1, expires_at=0.0))

    writers = [start("count", url, "50") for _ in range(4)]

    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0, 0]
    with ledger.read() as session:
        assert session.get_one(Lease, "pass").number == 200


def test_writer_killed_in_a_transaction_leaves_the_old_state(ledger, url):
    with start("hang", url, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == "written\n"
        os.kill(writer.pid, signal.SIGKILL)

    assert number_of_events(ledger) == 0
    with ledger.write() as session:
        add_event(session, "test", "the next one was written", at=2.0)
    assert number_of_events(ledger) == 1


def test_reader_sees_the_old_state_while_a_writer_is_at_work(ledger, url):
    with start("hang", url, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == "written\n"

        assert number_of_events(ledger) == 0

        os.kill(writer.pid, signal.SIGKILL)


def test_error_in_a_transaction_undoes_it(ledger):
    def write_and_fail() -> None:
        with ledger.write() as session:
            add_event(session, "test", "half was written", at=1.0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()

    assert number_of_events(ledger) == 0


def test_data_of_an_event_are_kept_whatever_they_hold(ledger):
    data = {"file": "caf\udce9.mp4", "said": "ünlesbar", "steps": [1, 2.5, None]}
    with ledger.write() as session:
        add_event(session, "test", "it happened", at=1.0, data={**data, "loss": float("inf")})

    with ledger.read() as session:
        assert session.scalars(select(Event)).one().data == {**data, "loss": "inf"}


def test_reading_keeps_nothing(ledger):
    with ledger.read() as session:
        add_event(session, "test", "a reader wrote", at=1.0)

    assert number_of_events(ledger) == 0


@pytest.mark.parametrize("change", ["UPDATE event SET text = 'other'", "DELETE FROM event"])
def test_events_can_be_neither_changed_nor_deleted(ledger, change):
    with ledger.write() as session:
        add_event(session, "test", "it happened", at=1.0)

    with pytest.raises(exc.IntegrityError, match="events are never changed"):  # noqa: SIM117
        with ledger.write() as session:
            session.execute(text(change))


def test_row_that_points_nowhere_is_refused(ledger):
    with pytest.raises(exc.IntegrityError, match=r"(?i)foreign key"), ledger.write() as session:
        add_event(session, "test", "it happened", at=1.0, run_id="nobody")


def test_unknown_state_word_is_refused_by_the_database(ledger, make_run):
    with ledger.write() as session:
        session.add(make_run())

    with pytest.raises(exc.IntegrityError, match="ck_stage_run_state"), ledger.write() as session:
        session.execute(text("UPDATE stage_run SET state = 'PENDING'"))


def test_wrong_statement_is_not_called_a_broken_ledger(ledger, make_run):
    with ledger.write() as session:
        session.add(make_run())

    with pytest.raises(exc.IntegrityError), ledger.write() as session:
        session.add(make_run())


@ON_A_FILE
def test_ledger_that_vanished_is_an_error_of_the_ledger(ledger, tmp_path):
    (tmp_path / "runs").rename(tmp_path / "elsewhere")

    with pytest.raises(LedgerError, match="SQLite cannot open it"), ledger.read() as session:
        session.execute(text("SELECT 1"))
