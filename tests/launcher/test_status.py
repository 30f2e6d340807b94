"""`launcher status`: what it shows, in JSON and as a table, and how long it takes."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from db.engine import ledger_url
from db.ledger import Ledger
from db.queries import stages_of
from jobs.contract.events import EventWriter
from jobs.contract.paths import AttemptKey
from launcher.cli import main
from launcher.cluster.base import JobRow, job_name
from launcher.reconcile.refresh import refresh_run
from launcher.show.palette import BAD
from launcher.show.status import passes_line
from launcher.submit import NewRun
from tests.launcher.cluster.programs import only_programs, put_program
from tests.launcher.paper import Paper
from tests.launcher.worlds import make_pipeline, open_ledger, submit_run

KEYS = [
    "run",
    "stage",
    "state",
    "slurm_id",
    "attempts",
    "nodes",
    "min_nodes",
    "max_nodes",
    "step",
    "total_steps",
    "steps_lost",
    "wall_clock_s",
    "queued_s",
    "gpu_hours",
    "checkpoint",
    "cause",
    "eta_s",
    "eta_basis",
    "work_left_s",
    "epoch",
    "loss",
    "step_s",
    "useful_s",
    "lost_s",
    "goodput",
]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NewRun:
    """A run whose stage `second` has come to step 60 of 100; Slurm is on paper."""
    monkeypatch.delenv("LAUNCHER_LEDGER", raising=False)
    monkeypatch.setenv("LAUNCHER_RUNS", str(tmp_path / "runs"))
    pipeline = make_pipeline(tmp_path, ["cluster.gpus_per_node=8"])
    paper, ledger = Paper(), open_ledger(pipeline)
    new = submit_run(pipeline, paper, 1000.0)
    events = EventWriter(new.folder.stage("second").events_file(AttemptKey("101", 0)))
    events.write("started", resume_step=0, total_steps=100)
    events.write("step", step=60, epoch=0, loss=0.5, step_s=2.0)
    events.close()
    name = job_name("second", new.tokens["second"])
    paper.queue = [
        JobRow(
            slurm_id="101",
            restart=0,
            name=name,
            word="RUNNING",
            queued_at=1010.0,
            started_at=1100.0,
            source="squeue",
        )
    ]
    refresh_run(ledger, new.id, lambda _: paper, clock=lambda: 4700.0, digest_bytes=1e9)
    return new


def status(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["status", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_json_is_an_array_of_one_object_a_stage(
    run: NewRun, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = status(capsys, "--json", "--no-refresh")
    stages = json.loads(out)

    assert code == 0
    assert [list(stage) for stage in stages] == [KEYS] * 4
    assert stages[1] == {
        "run": run.id,
        "stage": "second",
        "state": "running",
        "slurm_id": "101",
        "attempts": 1,
        "nodes": None,
        "min_nodes": 1,
        "max_nodes": 1,
        "step": 60,
        "total_steps": 100,
        "steps_lost": 0,
        "wall_clock_s": 3600.0,
        "queued_s": 90.0,
        "gpu_hours": 8.0,
        "checkpoint": None,
        "cause": None,
        "eta_s": 80.0,
        "eta_basis": "last steps",
        "work_left_s": 80.0,
        "epoch": None,
        "loss": 0.5,
        "step_s": 2.0,
        "useful_s": 120.0,
        "lost_s": 0.0,
        "goodput": 0.0333,
    }


def test_reused_stage_shows_its_checkpoint(run: NewRun, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = status(capsys, "--json", "--no-refresh")

    folder = run.folder.stage("first").checkpoint(0, final=True)
    assert json.loads(out)[0]["checkpoint"] == {"step": 0, "path": str(folder), "bytes": 7}


def test_table_has_a_line_a_stage(run: NewRun, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = status(capsys, "--no-refresh")
    lines = [line.split() for line in out.splitlines() if line]

    assert [line[:2] for line in lines[1:5]] == [
        ["first", "reused"],
        ["second", "running"],
        ["middle", "waiting"],
        ["third", "waiting"],
    ]
    columns = ["101", "1", "60%", "60/100", "-", "0.5", "2.00", "s", "0", "1:00:00", "1:30", "8.00"]
    assert lines[2][2:] == [*columns, "3.3%", "-", "1:20", "last", "steps"]
    assert ["run", run.id] in [line[:2] for line in lines[5:]]


@pytest.mark.usefixtures("run")
def test_narrow_terminal_leaves_columns_out_and_cuts_no_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "64")

    _, out, _ = status(capsys, "--no-refresh")

    assert out.splitlines()[0].split() == [
        *("stage", "state", "Slurm", "id", "progress", "step", "loss", "ETA")
    ]
    assert "…" not in out


@pytest.mark.parametrize("width", [20, 40, 80])
@pytest.mark.usefixtures("run")
def test_table_cuts_no_word_however_narrow_the_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))

    _, out, _ = status(capsys, "--no-refresh")

    table = out.splitlines()[:5]
    assert [line.split()[:2] for line in table[1:3]] == [["first", "reused"], ["second", "running"]]
    assert ("…" in out, max(map(len, table)) <= width) == (False, True)


def test_cause_stands_below_the_table_whole(
    run: NewRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "64")
    cause = "sbatch: invalid partition specified: nope, and whatever else it had to say about it"
    with Ledger.open(ledger_url(run.folder.root.parent, {}), create=False).write() as session:
        submission = stages_of(session, run.id)[2].submissions[-1]
        submission.slurm_id, submission.error = None, cause

    _, out, _ = status(capsys, "--no-refresh")

    assert f"middle: {cause}" in out.splitlines()


@pytest.mark.usefixtures("run")
def test_unknown_run_is_a_fault_that_lists_the_known(
    run: NewRun, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = status(capsys, "--run", "nothing")

    assert (code, out) == (2, "")
    assert err == f"error: no run 'nothing'; known, newest first: {run.id}\n"


def test_beginning_of_an_id_is_enough(run: NewRun, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = status(capsys, "--run", run.id[:-2], "--no-refresh")

    assert (code, run.id in out) == (0, True)


def test_missing_ledger_is_exit_code_4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LAUNCHER_LEDGER", raising=False)

    code, _, err = status(capsys, "--runs", str(tmp_path))

    assert code == 4
    assert "there is no ledger here" in err


@pytest.mark.usefixtures("run")
def test_slurms_silence_is_a_warning_and_the_table_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    only_programs(monkeypatch, tmp_path / "bin")
    put_program(tmp_path / "bin", "squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")

    code, out, err = status(capsys, "--verbose")

    assert (code, "running" in out) == (0, True)
    assert err.splitlines() == [
        "warning: squeue: Unable to contact slurm controller; the states below are from the last "
        "time it answered",
        "scheduler queries: 1",
    ]


@pytest.mark.usefixtures("run")
def test_status_takes_two_queries_for_any_number_of_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    only_programs(monkeypatch, tmp_path / "bin")
    for name in ("squeue", "sacct"):
        put_program(tmp_path / "bin", name, f"echo {name} >> {tmp_path}/asked")

    status(capsys)

    assert (tmp_path / "asked").read_text().split() == ["squeue", "sacct"]


@pytest.mark.usefixtures("run")
def test_status_imports_neither_submitit_nor_torch() -> None:
    program = (
        "import sys; from launcher.cli import main; main(['status', '--json']); "
        "print([n for n in ('submitit', 'torch', 'numpy') if n in sys.modules], file=sys.stderr)"
    )

    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=180, check=True
    )

    assert said.stderr.splitlines()[-1] == "[]"


@pytest.mark.alone  # measures time
@pytest.mark.usefixtures("run")
def test_status_answers_soon() -> None:
    command = [sys.executable, "-m", "launcher", "status", "--no-refresh"]
    times = []
    for _ in range(3):
        began = time.monotonic()
        subprocess.run(command, env=os.environ, capture_output=True, timeout=180, check=True)
        times.append(time.monotonic() - began)

    # Half a second on a machine of one's own; here others work beside it.
    assert min(times) < 1.5


@pytest.mark.parametrize(
    ("last", "line"),
    [
        (None, f"[{BAD}]no pass yet: launcher cron install lets cron do them[/]"),
        (1900.0, "last good pass 1:40 ago"),
        (1000.0, f"[{BAD}]last good pass 16:40 ago; see launcher cron show[/]"),
    ],
)
def test_late_pass_is_red(last: float | None, line: str) -> None:
    assert passes_line(last, 900.0, 2000.0) == line


def test_pass_is_not_late_where_passes_are_rare() -> None:
    assert passes_line(1000.0, 900.0, 2000.0, usual_s=600.0) == "last good pass 16:40 ago"
