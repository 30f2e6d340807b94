"""Who may act now: one process at a time, and none that has been replaced.

    with Ledger(...).write() as session:
        number = take(session, "acts", host=..., pid=..., now=..., lease_s=600, is_over=...)

Its number stands in each later transaction of the holder (`check`): one that slept while another
took its place is stopped before it writes.
"""

from collections.abc import Callable

from sqlalchemy.orm import Session

from db.errors import LedgerError
from db.schema import Lease


class LeaseLostError(LedgerError):
    """Another process has taken the lease over; whoever held it must stop."""


def take(
    session: Session,
    name: str,
    *,
    host: str,
    pid: int,
    now: float,
    lease_s: float,
    is_over: Callable[[Lease], bool],
) -> Lease | int:
    """Takes a lease that is free, has run out, or whose holder is dead.

    Args:
        session: of `Ledger.write`.
        name: of the lease.
        host: of the new holder.
        pid: of the new holder.
        now: Unix seconds.
        lease_s: how long it holds without being renewed.
        is_over: whether the holder of a lease is known to have ended.

    Returns:
        The number of the new holder, or the lease of somebody else who holds it.
    """
    lease = session.get(Lease, name)
    if lease is None:
        lease = Lease(name=name, number=0, host="", pid=0, expires_at=0.0)
        session.add(lease)
    is_free = lease.pid == 0 or lease.expires_at <= now or is_over(lease)
    if not is_free:
        return lease
    lease.number += 1
    lease.host, lease.pid, lease.expires_at = host, pid, now + lease_s
    session.flush()
    return lease.number


def check(session: Session, name: str, number: int, *, until: float) -> None:
    """Makes sure that a lease is still ours, and holds it until then.

    Raises:
        LeaseLostError: somebody else has taken it.
    """
    lease = session.get(Lease, name)
    if lease is None or lease.number != number or lease.pid == 0:
        holder = f"process {lease.pid} on {lease.host} has" if lease else "somebody has"
        raise LeaseLostError(
            f"lease {name}", f"{holder} taken over", "nothing is lost: look with `launcher status`"
        )
    lease.expires_at = max(lease.expires_at, until)


def give_back(session: Session, name: str, number: int) -> None:
    """Frees a lease, if it is still ours."""
    lease = session.get(Lease, name)
    if lease is not None and lease.number == number:
        lease.pid, lease.host, lease.expires_at = 0, "", 0.0
