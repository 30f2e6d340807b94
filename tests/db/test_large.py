"""What is asked of a large ledger: which rows come, and that no query walks through all runs."""

import sqlite3
from collections.abc import Callable

import pytest
from sqlalchemy import event

from db.earlier import Earlier, earlier_stages
from db.endings import endings
from db.ledger import Ledger
from db.passes import last_pass
from db.queries import count_runs, latest_run_ids, newest_run, run_ids, stages_of, stages_of_runs
from db.record import create_run
from db.schema import Attempt, Run
from db.states import RunState, StageState
from tests.db.conftest import ON_A_FILE


@pytest.fixture
def filled(ledger: Ledger, make_run: Callable[..., Run]) -> Ledger:
    """Five runs, `r0` the oldest; `r1` and `r4` are done, `r2` has failed."""
    with ledger.write() as session:
        for number in range(5):
            create_run(session, make_run(f"r{number}", created_at=float(number)))
        for run_id, state in (("r1", "done"), ("r2", "failed"), ("r4", "done")):
            session.get_one(Run, run_id).state = RunState(state)
    return ledger


def finish(ledger: Ledger, run_id: str, *wall_s: float) -> None:
    """Ends the first stage of a run after attempts of these lengths."""
    with ledger.write() as session:
        stage = stages_of(session, run_id)[0]
        stage.state = StageState.DONE
        for restart, seconds in enumerate(wall_s):
            session.add(
                Attempt(
                    submission_id=stage.submissions[0].id,
                    stage_run_id=stage.id,
                    cluster="slurm",
                    slurm_id=run_id,
                    restart=restart,
                    state="COMPLETED",
                    wall_clock_s=seconds,
                )
            )


def test_latest_runs_are_those_that_go_on_and_then_the_newest(filled: Ledger) -> None:
    with filled.read() as session:
        assert list(latest_run_ids(session, 4)) == ["r3", "r0", "r4", "r2"]
        assert count_runs(session) == 5


def test_run_ids_are_those_that_begin_so(filled: Ledger) -> None:
    with filled.read() as session:
        assert list(run_ids(session, "r", 2)) == ["r4", "r3"]
        assert list(run_ids(session, "%", 2)) == []


def test_stages_of_several_runs_come_run_by_run(filled: Ledger) -> None:
    with filled.read() as session:
        found = [(row.run_id, row.stage) for row in stages_of_runs(session, ["r3", "r1"])]

    assert found == [("r1", "stage2"), ("r1", "stage3"), ("r3", "stage2"), ("r3", "stage3")]


@ON_A_FILE
def test_stages_come_of_more_runs_than_a_query_takes_values(filled: Ledger) -> None:
    many = ["r3", *(f"x{number}" for number in range(1000)), "r1"]
    with filled.read() as session:
        database = session.connection().connection.driver_connection
        assert isinstance(database, sqlite3.Connection)
        database.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)

        found = [row.run_id for row in stages_of_runs(session, many)]

    assert found == ["r1", "r1", "r3", "r3"]


def test_earlier_runs_give_the_time_of_all_attempts_newest_first(filled: Ledger) -> None:
    finish(filled, "r0", 10.0, 20.0)
    finish(filled, "r4", 5.0)
    finish(filled, "r3", 7.0)

    with filled.read() as session:
        found = earlier_stages(session, "videochat2", without="r3")
        others = earlier_stages(session, "something else", without="r3")

    text = "name: videochat2\n"
    assert found == [Earlier("stage2", 32, 5.0, text), Earlier("stage2", 32, 30.0, text)]
    assert others == []


@ON_A_FILE
@pytest.mark.parametrize(
    ("ask", "index"),
    [
        (newest_run, "USING INDEX ix_run_created_at"),
        (lambda session: latest_run_ids(session, 20), "USING COVERING INDEX ix_run_state"),
        (lambda session: earlier_stages(session, "x", without="y"), "USING INDEX ix_run_name"),
        (lambda session: endings(session, "slurm", since=1.0), "USING INDEX ix_attempt_cluster"),
        (lambda session: last_pass(session, good=True), "USING INDEX ix_pass_ended_at"),
    ],
)
def test_query_uses_its_index(filled: Ledger, ask: Callable[..., object], index: str) -> None:
    asked = []
    with filled.read() as session:
        connection = session.connection()
        event.listen(
            connection,
            "before_cursor_execute",
            lambda _c, _cursor, text, values, *_: asked.append((text, values)),
        )
        ask(session)
        text, values = asked[0]
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values).all()

    assert any(index in row[3] for row in plan), plan
