"""Decisions by their rules."""

from db import record
from db.decisions import Decided, RuleCount, decisions_of, rules_of


def test_decisions_are_the_events_with_a_rule_and_the_newest_are_shown(ledger, make_run):
    with ledger.write() as session:
        run = make_run()
        record.create_run(session, run)
        stage = run.stages[0]
        for at, rule in ((1.0, "finished"), (2.0, None), (3.0, "preempted"), (4.0, "preempted")):
            record.add_event(
                session, "resubmitted", f"at {at}", at=at, run_id=run.id,
                stage_run_id=stage.id if at < 4 else None, data={"rule": rule},
            )  # fmt: skip

    with ledger.read() as session:
        shown, rules = decisions_of(session, "first", last=2), rules_of(session, "first")

    assert shown == [
        Decided(3.0, "stage3", "preempted", "at 3.0"),
        Decided(4.0, None, "preempted", "at 4.0"),
    ]
    assert rules == [RuleCount("preempted", 2, 3.0, 4.0), RuleCount("finished", 1, 1.0, 1.0)]


def test_decisions_of_another_run_are_not_among_them(ledger, make_run):
    with ledger.write() as session:
        record.create_run(session, make_run())
        record.create_run(session, make_run("second"))
        record.add_event(session, "held", "held", at=1.0, run_id="second", data={"rule": "x"})

    with ledger.read() as session:
        assert decisions_of(session, "first", last=9) == []
        assert rules_of(session, "first") == []
