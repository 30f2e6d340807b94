from dataclasses import asdict

import pytest
from sqlalchemy import exc, select

from db import record
from db.errors import LedgerError
from db.queries import run_by_id, runs, stages_of, submission_by_token
from db.schema import Attempt, Checkpoint, Event
from db.states import RunState, StageState, SubmissionState

TOKEN = "first-stage2-1"


@pytest.fixture
def stage2(ledger, make_run):
    """The first stage run of the run `first`."""
    with ledger.write() as session:
        record.create_run(session, make_run())
    return stage_now(ledger)


def stage_now(ledger):
    with ledger.read() as session:
        return stages_of(session, "first")[0]


def attempt_of(stage2, **facts) -> Attempt:
    key = {"cluster": "slurm", "slurm_id": "17", "restart": 0}
    parents = {"submission_id": stage2.submissions[0].id, "stage_run_id": stage2.id}
    return Attempt(**(key | parents | {"state": "RUNNING"} | facts))


def checkpoint_of(stage2, **facts) -> Checkpoint:
    known = {"step": 10, "path": "step-00000010", "bytes": 3 * 2**31, "files": 4, "digest": "d1"}
    rest = {"stage_run_id": stage2.id, "final": False, "save_s": 1.5, "created_at": 5.0}
    return Checkpoint(**(known | rest | facts))


def events(ledger) -> list[tuple[str, str]]:
    with ledger.read() as session:
        return [(event.kind, event.text) for event in session.scalars(select(Event))]


@pytest.mark.usefixtures("stage2")
def test_run_is_created_with_its_stages_and_intents(ledger):
    with ledger.read() as session:
        found = stages_of(session, "first")

    assert [(stage.stage, stage.needs, stage.state) for stage in found] == [
        ("stage2", [], StageState.SUBMITTING),
        ("stage3", ["stage2"], StageState.SUBMITTING),
    ]
    assert found[0].submissions[0].spec == {"stage": "stage2"}
    assert found[0].submissions[0].state is SubmissionState.SUBMITTING


@pytest.mark.usefixtures("stage2")
def test_run_whose_token_exists_leaves_nothing(ledger, make_run):
    second = make_run("second")
    second.stages[1].submissions[0].token = TOKEN

    with pytest.raises(exc.IntegrityError, match=r"submission[._]token"), ledger.write() as session:
        record.create_run(session, second)

    with ledger.read() as session:
        assert [run.id for run in runs(session)] == ["first"]
    assert len(events(ledger)) == 1


def test_fence_can_be_taken_once_only(ledger, stage2):
    with (
        pytest.raises(exc.IntegrityError, match=r"submission[._](stage_run_id_)?fence"),
        ledger.write() as session,
    ):
        record.new_submission(
            session, stage2.id, token="other", fence=1, spec={}, parents=[], at=2.0
        )


def test_resubmission_keeps_the_submission_before_it(ledger, stage2):
    with ledger.write() as session:
        record.new_submission(
            session, stage2.id, token="again", fence=2, spec={"a": 1}, parents=["16"], at=2.0
        )

    submissions = stage_now(ledger).submissions
    assert [(each.token, each.fence, each.parents) for each in submissions] == [
        (TOKEN, 1, []),
        ("again", 2, ["16"]),
    ]


@pytest.mark.usefixtures("stage2")
def test_submission_knows_its_job_once_it_is_submitted(ledger):
    for at in (3.0, 4.0):
        with ledger.write() as session:
            record.submitted(session, TOKEN, "17", at=at)

    found = stage_now(ledger).submissions[0]
    assert (found.slurm_id, found.submitted_at, found.state) == ("17", 3.0, "submitted")


@pytest.mark.usefixtures("stage2")
def test_second_job_for_one_submission_is_an_error(ledger):
    with ledger.write() as session:
        record.submitted(session, TOKEN, "17", at=3.0)

    with pytest.raises(LedgerError, match="it is job 17 already, and now job 18 as well"):  # noqa: SIM117
        with ledger.write() as session:
            record.submitted(session, TOKEN, "18", at=4.0)


def test_submission_of_an_unknown_token_is_an_error(ledger):
    with pytest.raises(LedgerError, match="no row has this token"), ledger.write() as session:
        record.submitted(session, "nobody", "17", at=3.0)


@pytest.mark.usefixtures("stage2")
def test_refused_submission_keeps_the_words_of_the_cluster(ledger):
    with ledger.write() as session:
        record.submission_failed(session, TOKEN, "sbatch: error: invalid partition")

    with ledger.read() as session:
        found = submission_by_token(session, TOKEN)
    assert (found.state, found.error) == ("failed", "sbatch: error: invalid partition")


@pytest.mark.usefixtures("stage2")
def test_closed_submission_stays_tied_to_its_job(ledger):
    with ledger.write() as session:
        record.submitted(session, TOKEN, "17", at=3.0)
        record.close_submission(session, TOKEN)

    found = stage_now(ledger).submissions[0]
    assert (found.state, found.slurm_id) == ("closed", "17")


def test_attempt_recorded_twice_is_one_row_with_the_newest_facts(ledger, stage2):
    for last_step in (5, 9):
        with ledger.write() as session:
            record.upsert_attempt(session, attempt_of(stage2, started_at=2.0, last_step=last_step))

    found = stage_now(ledger).attempts
    assert [(each.started_at, each.last_step) for each in found] == [(2.0, 9)]


def test_unknown_fact_does_not_wipe_out_a_known_one(ledger, stage2):
    for facts in ({"nodes": "node[1-4]"}, {"nodes": None}):
        with ledger.write() as session:
            record.upsert_attempt(session, attempt_of(stage2, **facts))

    assert stage_now(ledger).attempts[0].nodes == "node[1-4]"


def test_closed_attempt_takes_what_it_lacks_and_nothing_else(ledger, stage2):
    with ledger.write() as session:
        record.upsert_attempt(session, attempt_of(stage2, state="PREEMPTED", ended_at=9.0))
    before = asdict(stage_now(ledger).attempts[0])

    with ledger.write() as session:
        late = attempt_of(stage2, state="FAILED", ended_at=11.0, exit_code=75)
        record.upsert_attempt(session, late)

    assert asdict(stage_now(ledger).attempts[0]) == before | {"exit_code": 75}


def test_requeued_job_has_one_attempt_for_each_restart(ledger, stage2):
    for restart in (0, 1):
        with ledger.write() as session:
            record.upsert_attempt(session, attempt_of(stage2, restart=restart))

    assert [attempt.restart for attempt in stage_now(ledger).attempts] == [0, 1]


def test_checkpoint_recorded_twice_is_one_row(ledger, stage2):
    for verified_at in (6.0, None):
        with ledger.write() as session:
            facts = checkpoint_of(stage2, verified_at=verified_at)
            record.record_checkpoint(session, facts)

    found = stage_now(ledger).checkpoints
    assert [(each.step, each.bytes, each.verified_at) for each in found] == [
        (10, 6_442_450_944, 6.0)
    ]


def test_save_over_a_checkpoint_replaces_what_was_known(ledger, stage2):
    for digest in ("d1", "d2"):
        with ledger.write() as session:
            record.record_checkpoint(session, checkpoint_of(stage2, digest=digest))

    assert [each.digest for each in stage_now(ledger).checkpoints] == ["d2"]


def test_change_of_a_stage_state_leaves_an_event(ledger, stage2):
    with ledger.write() as session:
        changed = record.set_stage_state(session, stage2.id, StageState.HELD, at=7.0, why="budget")

    found = stage_now(ledger)
    assert (changed, found.state, found.updated_at) == (True, StageState.HELD, 7.0)
    assert events(ledger)[1:] == [("stage_state", "stage2 went from submitting to held: budget")]


def test_same_stage_state_again_is_no_change(ledger, stage2):
    with ledger.write() as session:
        changed = record.set_stage_state(session, stage2.id, StageState.SUBMITTING, at=7.0)

    assert (changed, stage_now(ledger).updated_at) == (False, 1.0)
    assert len(events(ledger)) == 1


@pytest.mark.usefixtures("stage2")
def test_change_of_a_run_state_leaves_an_event(ledger):
    with ledger.write() as session:
        record.set_run_state(session, "first", RunState.RUNNING, at=7.0)

    with ledger.read() as session:
        assert run_by_id(session, "first").state is RunState.RUNNING
    assert events(ledger)[1:] == [("run_state", "first went from submitting to running")]
