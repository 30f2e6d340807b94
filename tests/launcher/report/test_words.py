"""A run in sentences."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from db.ledger import Ledger
from db.schema import Attempt, Run, StageRun
from db.states import RunState, StageState
from jobs.contract.events import Event
from launcher.accounting.account import read_attempt
from launcher.report.price import Price
from launcher.report.story import Story, read_story
from launcher.report.words import summary
from launcher.words import counted, hours, span
from tests.launcher.report.eventful import Made, eventful

NOW = 1_790_500_000.0


def story_of(ledger: Ledger, run: Run, price: Price | None = None) -> Story:
    return read_story(ledger, run.id, read_attempt, now=NOW, price=price)


def test_ledger_can_be_written_to_while_event_files_are_read(tmp_path: Path) -> None:
    ledger, run = eventful(tmp_path, attempts=3, steps=300)
    writer = sqlite3.connect(ledger.place, timeout=0)
    # As on a network file system, where a reader locks writers out.
    assert writer.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)
    writes = []

    def read(row: StageRun, attempt: Attempt) -> Sequence[Event]:
        with writer:
            writes.append(writer.execute("UPDATE run SET name = 'other'").rowcount)
        return read_attempt(row, attempt)

    story = read_story(ledger, run.id, read, now=NOW)
    writer.close()

    assert writes == [1] * len(story.attempts)


def test_eventful_run_is_told_with_its_hours_cost_causes_and_figures(tmp_path: Path) -> None:
    ledger, run = eventful(tmp_path, attempts=6, steps=1500)

    said = " ".join(summary(story_of(ledger, run, Price(2.10, "EUR"))))

    story = story_of(ledger, run)
    allocated_h = sum(a.gpu_s or 0.0 for a in story.attempts) / 3600
    lost = sum(a.steps_lost or 0 for a in story.attempts)
    assert said.startswith(
        f"Run {run.id} (videochat2) is done. It held {allocated_h:.0f} GPU-hours"
    )
    assert f"({allocated_h * 2.10:,.0f} EUR) in 7 attempts of 3 stages" in said
    assert f"{lost} steps made in vain" in said
    assert "5 attempts ended early: " not in said  # the last of each stage ended well
    assert "4 attempts ended early: " in said
    assert "stage2 (done): 1,500 of 1,500 steps in 4 attempts" in said
    assert "mvbench measured average 0.512." in said


def test_run_without_any_allocation_says_so_and_no_share(tmp_path: Path) -> None:
    made = Made(tmp_path)
    stage = made.stage("stage2", 0, 1, 100)
    ledger = made.write([stage])

    said = summary(story_of(ledger, made.run))

    assert said == [f"Run {made.run.id} (videochat2) goes on. No job of it has held any nodes yet."]


def test_run_that_failed_names_the_stage(tmp_path: Path) -> None:
    made = Made(tmp_path)
    stage = made.stage("stage2", 0, 1, 100).go()
    stage.row.state, made.run.state = StageState.FAILED, RunState.FAILED

    said = summary(story_of(made.write([stage]), made.run))

    assert said[0].startswith(f"Run {made.run.id} (videochat2) has failed (stage2 failed). It held")


def test_run_without_gpus_is_told_in_time_and_has_no_cost(tmp_path: Path) -> None:
    ledger, run = eventful(tmp_path, attempts=3, steps=300, gpus_per_node=0)

    said = " ".join(summary(story_of(ledger, run, Price(2.10, "EUR"))))

    assert "It held nodes without GPUs for " in said
    assert "EUR" not in said
    assert "GPU-h" not in said


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.02, "0 s"),
        (9.87, "9.9 s"),
        (59.4, "59 s"),
        (125, "2 min 5 s"),
        (659, "10 min"),
        (3600, "1 h"),
        (86_399, "24 h"),
        (2 * 86_400 + 3 * 3600, "2 d 3 h"),
    ],
)
def test_times_are_told_as_people_tell_them(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_amounts_have_as_many_digits_as_say_something() -> None:
    assert [hours(each * 3600) for each in (0, 0.0312, 0.5, 12.44, 5761.2)] == [
        "0.000",
        "0.031",
        "0.50",
        "12.4",
        "5,761",
    ]
    assert [Price(2.1, "EUR").of(each) for each in (12.4, 576)] == ["26.04 EUR", "1,210 EUR"]
    assert [counted(1, "step"), counted(1200, "step")] == ["1 step", "1,200 steps"]
