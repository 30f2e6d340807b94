"""Writes the ledger, a few rows at a time, as one consistent view of it.

A reader keeps a ledger on a network file system locked against writers, so nothing slow is done
meanwhile: what goes to a pipe is written into a file first.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from sqlalchemy import Table

from db.dump import rows_of, tables_of
from db.ledger import Ledger
from db.plain_json import json_text
from db.version import MIGRATIONS, versions
from launcher import __version__
from launcher.errors import UsageError
from launcher.export.values import csv_line
from launcher.output import explained

FORMAT: Final = "launcher-ledger"
ABOUT: Final = "export.json"
"""Beside the CSV files: what the export is of, with the number of rows of each."""


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        rows: By table.
    """

    rows: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All rows."""
        return sum(self.rows.values())


def about(ledger: Ledger, run_id: str | None, at: float) -> dict[str, object]:
    """What an export says of itself."""
    return {
        "format": FORMAT,
        "schema": versions(MIGRATIONS)[-1],
        "launcher": __version__,
        "ledger": ledger.place,
        "run": run_id,
        "exported_at": at,
    }


def write_json(ledger: Ledger, run_id: str | None, file: IO[str], *, at: float) -> Written:
    """Writes one JSON document: `tables` holds by name the columns and the rows, one a line.

    Args:
        ledger: The ledger.
        run_id: The run; None: all, and what belongs to none.
        file: Where to.
        at: Now, Unix seconds.
    """
    written = Written()
    head = json_text(about(ledger, run_id, at))
    file.write(f'{head[:-1]}, "tables": {{')
    with ledger.read() as session:
        for table in tables_of(run_id):
            names = _names(table)
            comma = "," if written.rows else ""
            file.write(
                f'{comma}\n{json_text(table.name)}: {{"columns": {json_text(names)}, "rows": ['
            )
            count = 0
            for row in rows_of(session, table, run_id):
                comma = "," if count else ""
                file.write(f"{comma}\n{json_text(dict(zip(names, row, strict=True)))}")
                count += 1
            file.write("]}")
            written.rows[table.name] = count
    file.write("\n}}\n")
    return written


def write_csv(ledger: Ledger, run_id: str | None, folder: Path, *, at: float) -> Written:
    """Writes one CSV file a table, and `export.json`, into a folder that is there.

    Args:
        ledger: The ledger.
        run_id: The run; None: all, and what belongs to none.
        folder: An empty one.
        at: Now, Unix seconds.
    """
    written = Written()
    with ledger.read() as session:
        for table in tables_of(run_id):
            count = 0
            with _new_file(folder / f"{table.name}.csv") as file:
                file.write(csv_line(_names(table)))
                for row in rows_of(session, table, run_id):
                    file.write(csv_line(row))
                    count += 1
            written.rows[table.name] = count
    with _new_file(folder / ABOUT) as file:
        file.write(json_text({**about(ledger, run_id, at), "rows": written.rows}) + "\n")
    return written


def checked_folder(path: Path, *, force: bool) -> Path:
    """The folder to make, with links followed.

    Raises:
        UsageError: It cannot be made there, or something is there that must stay.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path}: is a file; CSV files need a folder: name another one")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}; make it first")
    if not path.is_dir():
        return path
    if path.samefile(Path.cwd()):
        raise UsageError(f"{path}: is the current folder; name a new one in it, such as -o ledger")
    there = sorted(entry.name for entry in path.iterdir())
    if there and not force:
        raise UsageError(f"{path}: is not empty; name another folder, or add --force")
    if foreign := [name for name in there if name != ABOUT and not name.endswith(".csv")]:
        raise UsageError(
            f"{path}: holds {foreign[0]!r}, which no export has made; name another folder"
        )
    return path


@contextmanager
def folder_aside(path: Path) -> Iterator[Path]:
    """A new folder that takes the place of `path` at the end; after an error nothing has changed.

    Raises:
        LauncherError: It cannot be written.
    """
    aside, before = (path.with_name(f".{path.name}.{os.getpid()}{tail}") for tail in ("", ".old"))
    with explained(path):
        try:
            aside.mkdir()
            yield aside
            if path.is_dir():
                path.replace(before)
            aside.replace(path)
        finally:
            if before.exists() and not path.exists():
                before.replace(path)
            for folder in (aside, before):
                shutil.rmtree(folder, ignore_errors=True)


def _names(table: Table) -> Sequence[str]:
    return [column.name for column in table.columns]


@contextmanager
def _new_file(path: Path) -> Iterator[IO[str]]:
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
