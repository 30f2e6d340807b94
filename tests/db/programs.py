"""Programs that the tests run as other processes: python -m tests.db.programs NAME ARGUMENT..."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from db.engine import open_engine
from db.ledger import Ledger
from db.record import add_event
from db.schema import Lease


def count(url: str, times: str) -> None:
    """Adds one to a number that it has read, many times."""
    ledger = Ledger.open(url, create=False)
    for _ in range(int(times)):
        with ledger.write() as session:
            session.get_one(Lease, "pass").number += 1


def hang(url: str) -> None:
    """Writes, says so, and never commits."""
    with Ledger.open(url, create=False).write() as session:
        add_event(session, "test", "something was written", at=1.0)
        print("written", flush=True)
        time.sleep(600)


def migrate(url: str, migrations: str) -> None:
    """Opens a ledger, with the migrations of this folder."""
    open_engine(url, create=True, migrations=Path(migrations))


def imports(url: str) -> None:
    """Opens a ledger and says which large packages that took."""
    Ledger.open(url, create=False)
    print(sorted({"alembic", "sqlalchemy", "torch", "numpy"} & set(sys.modules)))


PROGRAMS: dict[str, Callable[..., None]] = {
    "count": count,
    "hang": hang,
    "imports": imports,
    "migrate": migrate,
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](*sys.argv[2:])
