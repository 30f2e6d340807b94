"""`launcher history` and `launcher events`: attempts and what followed, in all forms."""

import csv
import json
import threading
from io import StringIO
from pathlib import Path

import pytest

from db.ledger import Ledger
from db.queries import stages_of
from db.record import add_event
from db.schema import Attempt, Submission
from db.states import RunState
from launcher.cli import main
from launcher.history import ITSELF, history_of, state_in_words
from launcher.reconcile.refresh import read_run
from launcher.submit import NewRun
from tests.launcher.paper import Paper
from tests.launcher.test_forecast import attempt
from tests.launcher.worlds import make_pipeline, open_ledger, submit_run


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[NewRun, Ledger]:
    """A run whose stage `second` was requeued, submitted again by a rule, and runs now."""
    monkeypatch.delenv("LAUNCHER_LEDGER", raising=False)
    monkeypatch.setenv("LAUNCHER_RUNS", str(tmp_path / "runs"))
    pipeline = make_pipeline(tmp_path)
    ledger = open_ledger(pipeline)
    new = submit_run(pipeline, Paper(), 1000.0)
    with ledger.write() as session:
        stage = stages_of(session, new.id)[1]
        again = Submission(token="t2", fence=2, spec={}, parents=[], created_at=3.0, slurm_id="7")
        again.stage_run_id, again.rule = stage.id, "killed"
        session.add(again)
        session.flush()
        ids = [stage.submissions[0].id, stage.submissions[0].id, again.id]
        facts = [
            {"slurm_id": "5", "restart": 0, "cause": "preemption", "ended_at": 200.0},
            {"slurm_id": "5", "restart": 1, "cause": "failure", "ended_at": 400.0, "message": "oh"},
            {"slurm_id": "7", "restart": 0},
        ]
        for number, (id_, known) in enumerate(zip(ids, facts, strict=True)):
            session.add(
                Attempt(
                    submission_id=id_,
                    stage_run_id=stage.id,
                    cluster="slurm",
                    state="RUNNING",
                    started_at=100.0 + 200 * number,
                    wall_clock_s=100.0,
                    gpu_s=3600.0,
                    first_step=10 * number,
                    last_step=10 * number + 12,
                    **known,
                )
            )
    return new, ledger


def test_attempts_are_numbered_and_say_by_which_rule_it_went_on(
    world: tuple[NewRun, Ledger],
) -> None:
    new, ledger = world

    past = history_of(read_run(ledger, new.id).stages)

    assert [(each.stage, each.attempt, each.state, each.decision) for each in past] == [
        ("second", 1, "preemption", ITSELF),
        ("second", 2, "failure", "killed"),
        ("second", 3, "running", None),
    ]


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"ended_at": 1.0, "cause": "time limit"}, "time limit"),
        ({"ended_at": 1.0, "exit_kind": "done"}, "done"),
        ({"ended_at": 1.0, "exit_kind": "stopped"}, "ended"),
        ({"started_at": 1.0}, "running"),
        ({"reason": "Resources"}, "waits: its nodes are not free yet (Resources)"),
        ({}, "waits"),
    ],
)
def test_state_of_an_attempt_in_words(known: dict[str, object], words: str) -> None:
    assert state_in_words(attempt(**known)) == words


@pytest.mark.parametrize("width", ["80", "200"])
@pytest.mark.usefixtures("world")
def test_table_fits_and_tells_what_a_failed_attempt_said(
    width: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", width)

    code = main(["history"])

    lines = capsys.readouterr().out.splitlines()
    assert (code, lines[-1]) == (0, "second 2: oh")
    assert max(map(len, lines)) <= int(width)
    assert [line.split()[:2] for line in lines[1:4]] == [["second", str(n)] for n in (1, 2, 3)]


@pytest.mark.usefixtures("world")
def test_csv_and_json_hold_the_same_attempts(capsys: pytest.CaptureFixture[str]) -> None:
    main(["history", "--csv"])
    rows = list(csv.DictReader(StringIO(capsys.readouterr().out)))
    main(["history", "--json"])
    objects = json.loads(capsys.readouterr().out)

    assert [list(row) for row in rows] == [list(each) for each in objects]
    assert (rows[0]["ended_at"], objects[0]["ended_at"]) == ("1970-01-01T00:03:20Z", 200.0)
    assert (rows[2]["decision"], objects[2]["decision"]) == ("", None)


@pytest.mark.usefixtures("world")
def test_history_of_an_unknown_stage_names_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", "--stage", "nope"]) == 2
    assert "no stage 'nope'; known: first, second" in capsys.readouterr().err


@pytest.mark.usefixtures("world")
def test_run_that_is_given_twice_is_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", "one", "--run", "other"]) == 2
    assert "launcher history: the run is given twice; drop --run" in capsys.readouterr().err


@pytest.mark.usefixtures("world")
def test_stage_without_attempts_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", "--stage", "third"]) == 0
    assert "no attempt yet" in capsys.readouterr().err


def test_events_since_a_moment_leave_older_ones_out(
    world: tuple[NewRun, Ledger], capsys: pytest.CaptureFixture[str]
) -> None:
    new, ledger = world
    with ledger.write() as session:
        add_event(session, "decided", 'said "x"', at=5000.0, run_id=new.id, data={"rule": "r"})

    code = main(["events", "--since", "1970-01-01T01:00+00:00", "--csv"])

    assert (code, capsys.readouterr().out) == (
        0,
        '"at","kind","rule","text"\r\n"1970-01-01T01:23:20Z","decided","r","said ""x"""\r\n',
    )


@pytest.mark.usefixtures("world")
def test_events_since_nonsense_is_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["events", "--since", "yesterday"]) == 2
    assert "give a duration such as 2h" in capsys.readouterr().err


def test_events_are_followed_until_the_run_has_ended(
    world: tuple[NewRun, Ledger], capsys: pytest.CaptureFixture[str]
) -> None:
    new, ledger = world
    with ledger.write() as session:
        stages_of(session, new.id)[0].run.state = RunState.CANCELLED

    code = main(["events", "-f", "-n", "1"])

    assert (code, len(capsys.readouterr().out.splitlines())) == (0, 1)


def test_events_that_follow_come_although_none_was_asked_for_before(
    world: tuple[NewRun, Ledger], capsys: pytest.CaptureFixture[str]
) -> None:
    new, ledger = world

    def end() -> None:
        with ledger.write() as session:
            add_event(session, "told", "the end", at=5000.0, run_id=new.id)
            stages_of(session, new.id)[0].run.state = RunState.CANCELLED

    later = threading.Timer(2.0, end)
    later.start()
    code = main(["events", "-f", "-n", "0"])
    later.join()

    told = capsys.readouterr().out.splitlines()
    assert (code, len(told), told[0].endswith("the end")) == (0, 1, True)
