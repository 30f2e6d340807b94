"""Opens a ledger: finds it, sets its connections up, checks its version.

A write transaction is `BEGIN IMMEDIATE` on SQLite: it waits for its turn at the start, where a
plain BEGIN would read first and then fail as "locked". On PostgreSQL a lock held until the end of
the transaction gives the same order: one writer at a time. Readers never take it.
"""

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, exc, make_url, text
from sqlalchemy.engine import URL

from db.errors import LedgerError
from db.journal import journal_mode, read_mounts
from db.plain_json import json_text
from db.version import MIGRATIONS, bring_up_to_date

BUSY_TIMEOUT_S = 20.0
_WRITES = "ledger_writes"
_WRITER_LOCK = 7_305_826_114  # any number that no other program on the same PostgreSQL uses


def ledger_url(runs_folder: Path, environ: Mapping[str, str] = os.environ) -> str:
    """The ledger's database URL: `LAUNCHER_LEDGER`, else `ledger.db` in the runs folder."""
    database = runs_folder.absolute() / "ledger.db"
    default = URL.create("sqlite", database=str(database)).render_as_string()
    return environ.get("LAUNCHER_LEDGER") or default


def open_engine(
    url: str,
    *,
    create: bool,
    busy_timeout_s: float = BUSY_TIMEOUT_S,
    migrations: Path = MIGRATIONS,
) -> Engine:
    """Opens a ledger and brings it to this launcher's version.

    Args:
        url: a database URL.
        create: whether a SQLite file that is missing is made; a server's database must exist.
        busy_timeout_s: how long each statement waits for another process.
        migrations: the folder of the migrations.

    Raises:
        LedgerError: it is missing, locked, not a ledger, damaged, or of a newer version.
    """
    where, parsed = _parse(url)
    file = _file(where, parsed)
    if file is not None:
        _prepare_folder(file, create=create)
    engine = _connectable(where, parsed, busy_timeout_s)
    with explained(where):
        if file is not None:
            mode = journal_mode(file.parent, read_mounts())
            _set_journal(engine, where, mode, busy_timeout_s)
        bring_up_to_date(engine, writing(engine), where, migrations)
    return engine


def writing(engine: Engine) -> Engine:
    """The same engine, whose transactions take the writer's turn at their start."""
    return engine.execution_options(**{_WRITES: True})


def place(engine: Engine) -> str:
    """The ledger as people know it: a path, or a URL without its password."""
    return _place(engine.url)


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Turns what the database says about itself into a LedgerError.

    A violated constraint or a wrong statement passes as it is: that is a bug, not a broken ledger.
    """
    try:
        yield
    except exc.OperationalError as error:
        raise LedgerError(where, *_explain(str(error.orig))) from error
    except exc.DatabaseError as error:
        if type(error) is not exc.DatabaseError:  # its subclasses are the bugs
            raise
        raise LedgerError(where, *_explain(str(error.orig))) from error


def _explain(said: str) -> tuple[str, str]:
    """What is wrong and what to do about it, from the database's own words."""
    if "locked" in said or "lock timeout" in said:
        return ("another process keeps it locked", "try again when that one has ended")
    if "not a database" in said:
        return (
            "this file is not a ledger",
            "move it away, or set LAUNCHER_LEDGER to the right one",
        )
    if "malformed" in said:
        return (
            "the database is damaged",
            "put a copy in its place, or try `sqlite3 FILE .recover`",
        )
    if "readonly" in said or "unable to open" in said:
        return (
            "SQLite cannot open it for reading and writing, which it needs also to look",
            "look at the rights of the file and of its folder, or at a copy of it",
        )
    return (f"the database says: {said.strip()}", "check that it can be reached, read and written")


def _parse(url: str) -> tuple[str, URL]:
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError):  # which would show the URL, and its password
        raise LedgerError(
            "LAUNCHER_LEDGER",
            "this is not a database URL",
            "write sqlite:////path/to/ledger.db or postgresql+psycopg://user@host/name",
        ) from None
    return _place(parsed), parsed


def _place(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return url.database or "sqlite in memory"
    return url.render_as_string(hide_password=True)


def _file(where: str, url: URL) -> Path | None:
    """The file of a SQLite ledger, with links resolved; None for a server."""
    if url.get_backend_name() != "sqlite":
        return None
    if not url.database or url.database == ":memory:":
        raise LedgerError(
            where, "it would be lost at the end", "name a file: sqlite:////path/to/ledger.db"
        )
    return Path(url.database).resolve()


def _prepare_folder(file: Path, *, create: bool) -> None:
    try:
        is_folder, is_there = file.is_dir(), file.exists()
    except OSError as error:
        raise LedgerError(
            str(file), f"it cannot be reached: {error.strerror}", "look at the rights of its folder"
        ) from error
    if is_folder:
        raise LedgerError(
            str(file), "this is a folder, not a ledger", "name the file, or move the folder away"
        )
    if is_there:
        return
    if not create:
        raise LedgerError(
            str(file),
            "there is no ledger here",
            "submit a run first, or set LAUNCHER_LEDGER or the runs folder to where it lies",
        )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(
            str(file), f"its folder cannot be made: {error.strerror}", "choose another runs folder"
        ) from error


def _connectable(where: str, url: URL, busy_timeout_s: float) -> Engine:
    """An engine whose connections know our pragmas and our BEGIN; connects to nothing yet."""
    is_sqlite = url.get_backend_name() == "sqlite"
    options = {"timeout": busy_timeout_s} if is_sqlite else {}
    try:
        # No pool: a connection lives as long as its transaction, so none is left open at exit.
        engine = create_engine(
            url,
            poolclass=NullPool,
            connect_args=options,
            json_serializer=partial(json_text, ensure_ascii=True),
        )
    except (exc.NoSuchModuleError, ModuleNotFoundError) as error:
        raise LedgerError(
            where,
            f"its driver is missing: {error}",
            "install it, e.g. pip install 'psycopg[binary]'",
        ) from error
    if is_sqlite:
        event.listen(engine, "connect", _set_pragmas)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        lock_timeout_ms = round(busy_timeout_s * 1000)
        event.listen(engine, "begin", lambda connection: _begin_server(connection, lock_timeout_ms))
    return engine


def _set_pragmas(connection: sqlite3.Connection, _record: object) -> None:
    # Python's driver would send its own BEGIN, too late; SQLAlchemy's recipe switches that off.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _begin_server(connection: Connection, lock_timeout_ms: int) -> None:
    if connection.get_execution_options().get(_WRITES, False):
        connection.execute(text(f"SET LOCAL lock_timeout = {lock_timeout_ms}"))
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})"))


def _set_journal(engine: Engine, where: str, mode: str, busy_timeout_s: float) -> None:
    """Sets the journal mode, which the file then keeps, unless it has it already.

    SQLite does not always wait for its lock when it changes the mode: those that open a new ledger
    at once must take turns here.
    """
    give_up = time.monotonic() + busy_timeout_s
    while True:
        try:
            if _ask_journal(engine, "PRAGMA journal_mode") != mode.lower():
                _ask_journal(engine, f"PRAGMA journal_mode = {mode}")
            return
        except sqlite3.DatabaseError as error:  # the driver's own words: no SQLAlchemy between
            if "locked" not in str(error) or time.monotonic() > give_up:
                raise LedgerError(where, *_explain(str(error))) from error
        time.sleep(0.05)


def _ask_journal(engine: Engine, pragma: str) -> str:
    # Outside a transaction: within one SQLite keeps the mode as it is.
    with engine.connect() as connection:
        cursor = connection.connection.cursor()
        cursor.execute(pragma)
        return str(cursor.fetchall()[0][0])
