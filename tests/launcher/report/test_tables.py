"""The tables of the report."""

from pathlib import Path

import pytest

from db.schema import Attempt
from launcher.report.price import Price
from launcher.show.report.tables import ATTEMPTS_SHOWN, attempts_table, decisions_table, parts_table
from tests.launcher.report.eventful import Made, eventful
from tests.launcher.report.test_words import story_of


@pytest.mark.parametrize("seed", range(5))
def test_shown_shares_come_to_100_and_costs_to_the_whole(tmp_path: Path, seed: int) -> None:
    ledger, run = eventful(tmp_path, attempts=9, steps=900, seed=seed)

    table = parts_table(story_of(ledger, run, Price(2.10, "EUR")))

    assert table.columns == ("part", "share>", "time>", "GPU-hours>", "cost>", "what")
    whole, *parts = [row for i, row in enumerate(table.rows) if i not in table.sub]
    assert [row[0] for row in parts] == ["productive", "start-up", "checkpoint", "lost", "idle"]
    assert round(sum(float(row[1].removesuffix(" %")) for row in parts), 6) == 100
    cost = sum(float(row[4].removesuffix(" EUR").replace(",", "")) for row in parts)
    assert cost == pytest.approx(float(whole[4].removesuffix(" EUR").replace(",", "")), abs=2)


def test_attempt_that_runs_and_one_that_waits_have_a_row_each(tmp_path: Path) -> None:
    made = Made(tmp_path)
    stage = made.stage("stage2", 0, 1, 100).go()
    running, slurm_id = stage.found[0], stage.found[0].slurm_id
    running.ended_at = running.cause = running.exit_kind = None
    stage.found.append(
        Attempt(
            submission_id=0, stage_run_id=0, cluster="slurm", slurm_id=slurm_id, restart=1,
            state="PENDING", queued_at=made.at, queued_s=60.0,
        )
    )  # fmt: skip

    table = attempts_table(story_of(made.write([stage]), made.run))

    end = table.columns.index("end")
    assert [(row[2], row[end]) for row in table.rows] == [("4000.0", "runs"), ("4000.1", "waits")]
    assert table.rows[1][table.columns.index("queued>")] == "1 min"


def test_more_attempts_than_can_be_read_are_left_out_and_it_says_so(tmp_path: Path) -> None:
    ledger, run = eventful(tmp_path, attempts=ATTEMPTS_SHOWN + 6, steps=5000, told_every=50)

    table = attempts_table(story_of(ledger, run))

    assert len(table.rows) == ATTEMPTS_SHOWN
    assert table.note == "7 older attempts are left out here; all are in every sum."


def test_decisions_have_their_rule_and_sentence_and_those_left_out_are_counted(
    tmp_path: Path,
) -> None:
    ledger, run = eventful(tmp_path, attempts=312, steps=5000, told_every=50)
    story = story_of(ledger, run)

    table = decisions_table(story)

    assert len(table.rows) == 300
    assert table.note == "10 older decisions are left out here; all are in every sum."
    assert table.rows[-1][2] in {each.rule for each in story.rules}
    assert "was reached, it is submitted again" in table.rows[-1][3]
