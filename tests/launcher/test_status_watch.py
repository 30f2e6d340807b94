"""`launcher status --watch`, `--all`, several runs, CSV; and colours that can be read."""

import csv
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import pytest
from rich.color import Color

from db.ledger import Ledger
from db.queries import stages_of
from db.schema import Run
from db.states import RunState, StageState
from launcher.cli import main
from launcher.cluster.base import JobRow, job_name
from launcher.reconcile.refresh import refresh_runs
from launcher.show import palette
from launcher.submit import NewRun
from tests.launcher.paper import Paper
from tests.launcher.worlds import make_pipeline, open_ledger, submit_run

COMMAND = [sys.executable, "-m", "launcher", "status", "--watch", "--no-refresh", "--every", "1"]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.delenv("LAUNCHER_LEDGER", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("LAUNCHER_RUNS", str(tmp_path / "runs"))
    return open_ledger(make_pipeline(tmp_path))


@pytest.fixture
def runs(tmp_path: Path, ledger: Ledger) -> list[NewRun]:
    """Three runs, the oldest first; the second is done, the others wait."""
    pipeline, paper = make_pipeline(tmp_path), Paper()
    found = [submit_run(pipeline, paper, at) for at in (1000.0, 2000.0, 3000.0)]
    end(ledger, found[1].id, StageState.DONE, RunState.DONE)
    return found


def end(ledger: Ledger, run_id: str, stage: StageState, run: RunState) -> None:
    with ledger.write() as session:
        for row in stages_of(session, run_id):
            row.state = stage
            for submission in row.submissions:
                submission.state = "closed"
        session.get_one(Run, run_id).state = run


def status(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["status", "--no-refresh", *arguments]) == 0
    return capsys.readouterr().out


def test_all_shows_runs_that_go_on_before_the_others_and_the_newest_first(
    runs: list[NewRun], capsys: pytest.CaptureFixture[str]
) -> None:
    told = json.loads(status(capsys, "--all", "--json"))

    assert [each["run"] for each in told] == [runs[2].id, runs[0].id, runs[1].id]
    assert [(each["state"], each["done"], each["stages"]) for each in told] == [
        ("running", 1, 4),
        ("running", 1, 4),
        ("done", 4, 4),
    ]


def test_all_cuts_no_word_on_a_narrow_terminal(
    runs: list[NewRun], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")

    lines = status(capsys, "--all").splitlines()

    assert [line.split()[:2] for line in lines[:2]] == [["run", "state"], [runs[2].id, "running"]]
    assert max(map(len, lines)) <= 40


def test_all_says_how_many_runs_it_leaves_out(
    runs: list[NewRun], capsys: pytest.CaptureFixture[str]
) -> None:
    out = status(capsys, "--all", "-n", "2")

    assert runs[1].id not in out
    assert out.splitlines()[-1] == "2 of 3 runs; -n 3 shows all"


@pytest.mark.parametrize("width", ["80", "200"])
@pytest.mark.usefixtures("runs")
def test_tables_fit_the_terminal(
    width: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", width)

    table = status(capsys, "--all").splitlines()[:4]

    assert max(map(len, table)) <= int(width)
    assert [word in table[0] for word in ("run", "state", "ETA")] == [True] * 3
    assert "…" not in "".join(table)


def test_several_runs_are_shown_below_each_other(
    runs: list[NewRun], capsys: pytest.CaptureFixture[str]
) -> None:
    out = status(capsys, "--run", runs[0].id, "--run", runs[1].id)

    at = [out.index(f"run {run.id}") for run in runs[:2]]
    assert at == sorted(at)
    assert f"run {runs[2].id}" not in out


def test_csv_has_a_line_a_stage(runs: list[NewRun], capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.DictReader(StringIO(status(capsys, "--csv"))))

    assert [(row["run"], row["stage"], row["state"], row["eta_s"]) for row in rows][:2] == [
        (runs[2].id, "first", "reused", ""),
        (runs[2].id, "second", "pending", ""),
    ]
    assert len(rows) == 4


@pytest.mark.parametrize(
    "wrong", [["-n", "3"], ["--every", "3"], ["--watch", "--json"], ["--all", "--run", "x"]]
)
@pytest.mark.usefixtures("runs")
def test_options_that_mean_nothing_together_are_refused(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", *wrong]) == 2
    assert capsys.readouterr().err.startswith("error: launcher status: ")


def test_many_runs_are_looked_at_with_the_questions_for_one(
    runs: list[NewRun], ledger: Ledger
) -> None:
    paper = Paper()
    paper.queue = [
        JobRow(
            slurm_id=run.slurm_ids["second"],
            restart=0,
            name=job_name("second", run.tokens["second"]),
            word="RUNNING",
            started_at=4000.0,
            source="squeue",
        )
        for run in runs
    ]

    ids = [run.id for run in runs]
    seen = refresh_runs(ledger, ids, lambda _: paper, clock=lambda: 5000.0, digest_bytes=1e9)

    assert [each.queries for each in seen] == [2, 0, 0]
    assert len(paper.asked) == 2
    assert [str(each.stages[1].state) for each in seen] == ["running", "done", "running"]


def read_until(descriptor: int, wanted: bytes, held: bytes = b"") -> bytes:
    """What a terminal shows until `wanted` is there."""
    give_up = time.monotonic() + 60
    while wanted not in held and time.monotonic() < give_up:
        if select.select([descriptor], [], [], 1.0)[0]:
            held += os.read(descriptor, 65536)
    assert wanted in held
    return held


@pytest.mark.usefixtures("runs")
def test_watch_redraws_in_place_and_ctrl_c_leaves_the_terminal_as_it_was() -> None:
    ours, theirs = pty.openpty()
    env = os.environ | {"COLUMNS": "100", "TERM": "xterm-256color"}
    process = subprocess.Popen(
        COMMAND, cwd=ROOT, env=env, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    with process:
        shown = read_until(ours, b"not refreshed")
        shown = read_until(ours, b"\x1b[2K", shown)  # a line of the first picture is wiped
        process.send_signal(signal.SIGINT)
        shown = read_until(ours, b"\x1b[?25h", shown)
        code = process.wait(timeout=120)
    os.close(ours)

    assert (code, b"Traceback" in shown, b"error:" in shown) == (130, False, False)
    assert shown.index(b"\x1b[?25l") < shown.index(b"\x1b[?25h")  # the cursor is there again


def test_watch_in_a_pipe_prints_only_what_has_changed_and_ends_with_the_run(
    runs: list[NewRun], ledger: Ledger
) -> None:
    process = subprocess.Popen(COMMAND, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process:
        read_until(process.stdout.fileno(), b"not refreshed")  # type: ignore[union-attr]
        time.sleep(6)  # Slurm's runs are looked at every 5 s: nothing has changed by then
        end(ledger, runs[2].id, StageState.FAILED, RunState.FAILED)
        out, err = process.communicate(timeout=180)

    assert (process.returncode, err) == (1, b"")
    assert out.count(b"not refreshed") == 1
    assert b"failed" in out


def test_watch_of_a_run_that_is_done_ends_at_once_with_0(runs: list[NewRun]) -> None:
    assert main(["status", "--watch", "--no-refresh", "--run", runs[1].id]) == 0


def test_status_without_colour_has_no_escapes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], runs: list[NewRun]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("COLORTERM", raising=False)
    coloured = status(capsys, "--run", runs[1].id)
    monkeypatch.setenv("NO_COLOR", "1")
    plain = status(capsys, "--run", runs[1].id)

    assert re.search(r"\x1b\[38;5;28mdone", coloured)
    assert "\x1b[" not in plain


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2)."""
    parts = [part / 255 for part in Color.parse(colour).get_truecolor()]
    linear = [
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(
    "colour", [palette.GOOD, palette.MOVING, palette.CAUTION, palette.BAD, palette.FAINT]
)
def test_colour_can_be_read_on_black_and_on_white(colour: str) -> None:
    light = luminance(colour) + 0.05

    assert min(light / 0.05, 1.05 / light) > 3.5
