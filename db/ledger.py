"""The ledger as a thing to open, write to and read from.

    with Ledger.open(url, create=True).write() as session:
        record.submitted(session, token, slurm_id="17", at=now)

A row that a transaction gave stays readable after it; a relation that its query did not load raises
instead of asking the database again, once per row.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.engine import explained, open_engine, place, writing


class Ledger:
    """Transactions on one ledger. Holds no connection between them.

    Args:
        engine: from `open_engine`.
    """

    def __init__(self, engine: Engine) -> None:
        self.place = place(engine)
        self._reading = engine
        self._writing = writing(engine)

    @classmethod
    def open(cls, url: str, *, create: bool) -> Self:
        """Opens the ledger at this URL; `create` makes a SQLite file that is missing.

        Raises:
            LedgerError: it is missing, locked, not a ledger, damaged, or of a newer version.
        """
        return cls(open_engine(url, create=create))

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that is the only one writing; commits at its end, undone by an error.

        Raises:
            LedgerError: locked beyond the busy timeout, or damaged.
        """
        with (
            explained(self.place),
            Session(self._writing, expire_on_commit=False) as session,
            session.begin(),
        ):
            session.connection()  # takes its turn now, before anything is read
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One consistent view; nothing done in it is kept.

        Raises:
            LedgerError: locked beyond the busy timeout, or damaged.
        """
        with (
            explained(self.place),
            Session(self._reading, expire_on_commit=False, autoflush=False) as session,
        ):
            yield session
