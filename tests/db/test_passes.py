"""What passes leave behind."""

from db.ledger import Ledger
from db.passes import add_pass, usual_distance_s
from db.schema import Pass


def a_pass(ended_at: float, *, degraded: bool = False) -> Pass:
    return Pass(
        started_at=ended_at - 1.0,
        ended_at=ended_at,
        degraded=degraded,
        queries=1,
        did=["something"],
        host="login",
        pid=7,
    )


def test_usual_distance_of_passes_is_that_of_most_good_ones(ledger: Ledger) -> None:
    with ledger.write() as session:
        for ended_at in (100.0, 220.0, 340.0, 4000.0, 4120.0):
            add_pass(session, a_pass(ended_at))
        add_pass(session, a_pass(4121.0, degraded=True))

    with ledger.read() as session:
        assert usual_distance_s(session) == 120.0


def test_two_passes_have_no_usual_distance(ledger: Ledger) -> None:
    with ledger.write() as session:
        add_pass(session, a_pass(100.0))
        add_pass(session, a_pass(220.0))

    with ledger.read() as session:
        assert usual_distance_s(session) is None
