"""The example of a program as a stage does what its page says; the ledger's questions have answers.

One run of the example, stopped in its middle and continued, as a reader would do it.
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, blocks
from tests.e2e.conftest import ROOT, Program

EXAMPLE = "docs/examples/own/pipeline.yaml"
QUESTIONS = [block for block in blocks("sql") if block.page == DOCS / "ledger.md"]


@dataclass(frozen=True)
class Example:
    """The run that has ended.

    Attributes:
        program: The launcher with its runs folder.
        talk: What the first command said when it was stopped.
        stages: As `status --json` shows them at the end, by name.
    """

    program: Program
    talk: str
    stages: dict[str, dict]

    @property
    def folder(self) -> Path:
        """The run folder."""
        return next(path for path in self.program.runs.iterdir() if path.is_dir())


@pytest.fixture(scope="module")
def example(tmp_path_factory) -> Example:
    program = Program(tmp_path_factory.mktemp("own") / "runs")
    running = subprocess.Popen(
        [sys.executable, "-m", "launcher", "submit", EXAMPLE, "--set", "cluster.backend=local"],
        cwd=ROOT,
        env=os.environ | {"LAUNCHER_RUNS": str(program.runs)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _wait_for_a_checkpoint(program.runs)
    running.send_signal(signal.SIGINT)
    _, talk = running.communicate(timeout=120)
    went_on = program("watch")
    assert went_on.returncode == 0, went_on.stderr
    return Example(program, talk, {row["stage"]: row for row in program.status()})


def _wait_for_a_checkpoint(runs: Path, limit_s: float = 120) -> None:
    deadline = time.monotonic() + limit_s
    while not list(runs.glob("*/stages/train/output/step-20/state.json")):
        assert time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.1)


@pytest.mark.slow
def test_example_goes_on_at_the_step_that_it_had_saved(example):
    logs = sorted((example.folder / "stages/train/logs").glob("*/rank-00000.log"), key=_age)
    first, second = (log.read_text() for log in logs)
    last = [line for line in first.splitlines() if line.startswith("step ")][-1]
    step = int(last.split()[1].partition("/")[0])

    assert "launcher watch" in example.talk
    assert 20 <= step < 100
    assert f"step {step + 1}/100" in second
    assert f"step {step}/100" not in second
    train = example.stages["train"]
    assert (train["state"], train["attempts"], train["step"]) == ("done", 2, 100)
    assert train["steps_lost"] == 0


def _age(path: Path) -> int:
    return path.stat().st_mtime_ns


@pytest.mark.slow
def test_child_of_the_example_gets_the_final_checkpoint(example):
    (log,) = (example.folder / "stages/look/logs").glob("*/rank-00000.log")

    assert example.stages["look"]["state"] == "done"
    assert json.dumps({"step": 100}) in log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("question", QUESTIONS, ids=lambda block: block.text.split("\n")[0])
def test_question_of_the_page_is_answered_by_a_real_ledger(example, question):
    found = ask(example, question.text)

    assert found or "degraded" in question.text


@pytest.mark.slow
def test_questions_of_the_page_find_what_happened(example):
    of_stages, endings, attempts, rules, degraded, newest = (
        ask(example, block.text) for block in QUESTIONS
    )

    assert [(row["stage"], row["attempts"], row["lost"]) for row in of_stages] == [
        ("train", 2, 0),
        ("look", 1, 0),
    ]
    assert of_stages[0]["steps"] == 100
    assert {row["ending"]: row["attempts"] for row in endings} == {"done": 2, "stop signal": 1}
    assert [row["stage"] for row in attempts] == ["train", "train", "look"]
    assert {"stopped", "unsent"} <= {row["rule"] for row in rules}
    assert degraded == []
    assert {row["stage"]: row["step"] for row in newest}["train"] == 100


def ask(example: Example, question: str) -> list[sqlite3.Row]:
    """What the ledger answers, opened for reading only."""
    connection = sqlite3.connect(f"file:{example.program.runs}/ledger.db?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        return connection.execute(question).fetchall()
    finally:
        connection.close()


def test_page_names_the_folder_of_the_example():
    assert EXAMPLE.removesuffix("pipeline.yaml") in (DOCS / "own-script.md").read_text()
