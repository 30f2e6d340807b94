"""Looks at a ledger without opening it as one: nothing is made, migrated or changed."""

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import make_url

from db.journal import file_system, journal_mode, read_mounts
from db.version import MIGRATIONS, versions

_WAIT_S: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class Health:
    """What was seen of a ledger. None: not known, or it is no file.

    Attributes:
        place: Its path; of a server's its URL without the password.
        is_file: It is SQLite's; all below is about that.
        exists: It is there.
        file_system: Type of the file system that it lies on.
        journal: The journal mode that it has.
        wanted_journal: The one that its file system can bear.
        version: Its version.
        known: The newest version that this launcher knows.
        faults: What SQLite's quick check says; empty: nothing is wrong.
        fault: Why it could not be looked at; empty: it could.
        writable: A transaction that writes can begin.
        holders: Other processes of this machine that have it open: their ids.
    """

    place: str
    is_file: bool = True
    exists: bool = False
    file_system: str | None = None
    journal: str | None = None
    wanted_journal: str | None = None
    version: str | None = None
    known: str = ""
    faults: tuple[str, ...] = ()
    fault: str = ""
    writable: bool = False
    holders: tuple[int, ...] = ()


def look_at(url: str) -> Health:
    """Looks at the ledger of this URL."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return Health(place=parsed.render_as_string(hide_password=True), is_file=False)
    file = Path(parsed.database).resolve()
    mounts = read_mounts()
    known = versions(MIGRATIONS)[-1]
    kind, wanted = file_system(file.parent, mounts), journal_mode(file.parent, mounts)
    if not file.exists():
        return Health(place=str(file), file_system=kind, wanted_journal=wanted, known=known)
    journal = version = None
    faults: tuple[str, ...] = ()
    fault = ""
    try:
        with closing(_connect(file, "ro")) as connection:
            journal = str(connection.execute("PRAGMA journal_mode").fetchone()[0]).upper()
            said = connection.execute("PRAGMA quick_check").fetchall()
            faults = tuple(str(row[0]) for row in said if row[0] != "ok")
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            version = str(row[0]) if row else None
    except sqlite3.Error as error:
        fault = str(error)
    return Health(
        place=str(file),
        exists=True,
        file_system=kind,
        journal=journal,
        wanted_journal=wanted,
        version=version,
        known=known,
        faults=faults,
        fault=fault,
        writable=not fault and _can_write(file),
        holders=_holders(file),
    )


def _can_write(file: Path) -> bool:
    """Whether a writer's turn can be had; it is given back at once."""
    if not os.access(file, os.W_OK) or not os.access(file.parent, os.W_OK):
        return False
    try:
        with closing(_connect(file, "rw")) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.Error:
        return False
    return True


def _connect(file: Path, mode: str) -> sqlite3.Connection:
    uri = f"{file.as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=_WAIT_S, isolation_level=None)


def _holders(file: Path) -> tuple[int, ...]:
    """Processes that have the file open, as far as this user may see them."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if link.readlink() == file:
                found.add(int(link.parts[2]))
        except OSError:  # another user's, or it ended meanwhile
            continue
    return tuple(sorted(found - {os.getpid()}))
