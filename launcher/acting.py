"""The right to act: one process of a user's launchers on a ledger at a time.

    with acting(ledger, clock) as lease:
        with lease.write() as session: ...

`submit`, the pass and every command that changes a job hold it while they act. It is taken over
from a process that has died on this host, or that has not written for `LEASE_S`; whoever was
replaced is stopped at its next write.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy.orm import Session

from db import lease as leases
from db.ledger import Ledger
from db.schema import Lease
from launcher.errors import LauncherError
from launcher.identity import user_name

_NAME = "acts"
"""Of the lease; each user has one, since nobody can act on another's jobs."""
LEASE_S = 1800.0
"""Longer than any single act, and than reading one checkpoint of many GB whole; each write of the
holder begins it anew. Of a holder that died on this host nobody has to wait for that."""
WAIT_S = 120.0
"""How long a person's command waits for a pass to end."""
_LOOK_EVERY_S = 0.2
_held: set[int] = set()
"""The numbers under which this process holds a lease at the moment."""


class BusyError(LauncherError):
    """Another launcher is acting at the moment."""


@dataclass(frozen=True)
class Acting:
    """The lease, as its holder uses it.

    Attributes:
        ledger: Whose it is.
        number: Of this holder.
        clock: Unix seconds.
    """

    ledger: Ledger
    number: int
    clock: Callable[[], float]

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A write transaction that only the holder of the lease gets.

        Raises:
            LeaseLostError: Somebody else holds it by now; nothing is written.
        """
        with self.ledger.write() as session:
            leases.check(session, lease_name(), self.number, until=self.clock() + LEASE_S)
            yield session


@contextmanager
def acting(ledger: Ledger, clock: Callable[[], float], *, wait_s: float = 0.0) -> Iterator[Acting]:
    """Takes the lease, and gives it back at the end.

    Args:
        ledger: The ledger.
        clock: Unix seconds.
        wait_s: How long to wait for another process to finish.

    Raises:
        BusyError: Somebody else holds it.
    """
    number = _take(ledger, clock, wait_s)
    try:
        _held.add(number)
        yield Acting(ledger, number, clock)
    finally:
        _held.discard(number)
        with ledger.write() as session:
            leases.give_back(session, lease_name(), number)


def lease_name() -> str:
    """The name of this user's lease."""
    return f"{_NAME} {user_name()}"


def _take(ledger: Ledger, clock: Callable[[], float], wait_s: float) -> int:
    give_up = time.monotonic() + wait_s
    while True:
        with ledger.write() as session:
            taken = leases.take(
                session,
                lease_name(),
                host=os.uname().nodename,
                pid=os.getpid(),
                now=clock(),
                lease_s=LEASE_S,
                is_over=_is_over,
            )
        if not isinstance(taken, Lease):
            return taken
        if time.monotonic() >= give_up:
            raise BusyError(
                f"process {taken.pid} on {taken.host} is acting on this ledger; try again when it "
                "has ended"
            )
        time.sleep(_LOOK_EVERY_S)


def _is_over(lease: Lease) -> bool:
    """Whether the holder is known to have ended: only on this host can that be known.

    A lease under our own id that we do not hold was left behind: by an earlier process with this
    id, as in a container it often is, or by us at a Ctrl-C between two lines.
    """
    if lease.host != os.uname().nodename or lease.pid <= 0:
        return False
    if lease.pid == os.getpid():
        return lease.number not in _held
    try:
        os.kill(lease.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
