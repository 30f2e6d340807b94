import pytest
from sqlalchemy import event, exc

from db import queries, record
from db.states import RunState, SubmissionState


@pytest.fixture
def two_runs(ledger, make_run):
    with ledger.write() as session:
        record.create_run(session, make_run("0723-alpha", created_at=1.0))
        record.create_run(session, make_run("0723-beta", created_at=2.0))


@pytest.mark.usefixtures("two_runs")
def test_newest_run_is_the_one_submitted_last(ledger):
    with ledger.read() as session:
        assert queries.newest_run(session).id == "0723-beta"


def test_newest_run_of_an_empty_ledger_is_none(ledger):
    with ledger.read() as session:
        assert queries.newest_run(session) is None


@pytest.mark.usefixtures("two_runs")
def test_runs_come_newest_first(ledger):
    with ledger.read() as session:
        assert [run.id for run in queries.runs(session)] == ["0723-beta", "0723-alpha"]


@pytest.mark.usefixtures("two_runs")
@pytest.mark.parametrize(
    ("start", "found"),
    [
        ("0723-alpha", "0723-alpha"),
        ("0723-a", "0723-alpha"),
        ("0723", None),
        ("_723-a", None),
        ("", None),
        ("0724", None),
    ],
)
def test_run_is_found_by_the_start_of_its_id_if_it_is_the_only_one(ledger, start, found):
    with ledger.read() as session:
        run = queries.run_by_id(session, start)

    assert (run and run.id) == found


def test_run_whose_id_starts_another_one_is_found_by_it(ledger, make_run):
    with ledger.write() as session:
        record.create_run(session, make_run("run"))
        record.create_run(session, make_run("run-2"))

    with ledger.read() as session:
        assert queries.run_by_id(session, "run").id == "run"


@pytest.mark.usefixtures("two_runs")
def test_stages_come_in_order_with_four_queries_in_all(ledger):
    statements = []
    with ledger.read() as session:
        engine = session.get_bind()
        event.listen(
            engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2])
        )
        stages = queries.stages_of(session, "0723-alpha")

    assert [stage.stage for stage in stages] == ["stage2", "stage3"]
    assert [stage.run.id for stage in stages] == ["0723-alpha", "0723-alpha"]
    assert [len(stage.submissions) for stage in stages] == [1, 1]
    assert [stage.attempts + stage.checkpoints for stage in stages] == [[], []]
    assert len([each for each in statements if each.startswith("SELECT")]) == 4


@pytest.mark.usefixtures("two_runs")
def test_relation_that_was_not_loaded_raises_instead_of_asking_again(ledger):
    with ledger.read() as session:
        run = queries.newest_run(session)

        with pytest.raises(exc.InvalidRequestError, match="raise"):
            _ = run.stages


@pytest.mark.usefixtures("two_runs")
def test_stages_to_look_at_are_those_of_runs_that_go_on_or_have_a_job(ledger):
    with ledger.write() as session:
        for run in ("0723-alpha", "0723-beta"):
            record.set_run_state(session, run, RunState.FAILED, at=3.0)
            for stage in ("stage2", "stage3"):
                record.close_submission(session, f"{run}-{stage}-1")
        record.set_run_state(session, "0723-beta", RunState.HELD, at=4.0)
    with ledger.read() as session:
        held = {stage.run_id for stage in queries.stages_to_look_at(session)}

    with ledger.write() as session:
        row = queries.submission_by_token(session, "0723-alpha-stage3-1")
        row.state, row.slurm_id = SubmissionState.SUBMITTED, "17"

    with ledger.read() as session:
        both = {stage.run_id for stage in queries.stages_to_look_at(session)}
        taken = queries.taken_slurm_ids(session, ["16", "17"], "slurm")
    assert (held, both, taken) == ({"0723-beta"}, {"0723-alpha", "0723-beta"}, {"17"})
