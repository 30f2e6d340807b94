"""`launcher submit` and `launcher watch` as they are typed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launcher.cli import main
from tests.launcher.worlds import make_pipeline, open_ledger, states

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LAUNCHER_RUNS", "LAUNCHER_LEDGER"):
        monkeypatch.delenv(name, raising=False)


def test_dry_run_shows_the_scripts_and_touches_nothing(tmp_path: Path, capsys: Capture) -> None:
    make_pipeline(tmp_path)
    before = {path for path in tmp_path.rglob("*") if path.name != "checked"}

    code = main(["submit", str(tmp_path / "p.yaml"), "--dry-run", "--set", "cluster.backend=slurm"])
    said = capsys.readouterr()

    assert code == 0
    assert said.out.count("#!/bin/bash") == 3
    assert "#SBATCH --dependency=afterok:ID_OF_second" in said.out
    assert "# stage third: starts when middle has succeeded" in said.out
    assert {path for path in tmp_path.rglob("*") if path.name != "checked"} == before


def test_dry_run_names_missing_weights_and_goes_on(tmp_path: Path, capsys: Capture) -> None:
    make_pipeline(tmp_path)
    (tmp_path / "weights" / "first.pth").unlink()

    code = main(["submit", str(tmp_path / "p.yaml"), "--dry-run", "--json"])

    found = json.loads(capsys.readouterr().out)
    assert (code, [stage["stage"] for stage in found["stages"]]) == (
        0,
        ["second", "middle", "third"],
    )
    assert found["findings"] == [
        f"p.yaml:8: stages.first.reuse: {tmp_path / 'weights' / 'first.pth'} does not exist"
    ]


def test_missing_weights_are_exit_code_2_and_nothing_is_written(
    tmp_path: Path, capsys: Capture
) -> None:
    make_pipeline(tmp_path)
    (tmp_path / "weights" / "first.pth").unlink()

    code = main(["submit", str(tmp_path / "p.yaml")])

    assert code == 2
    assert capsys.readouterr().err.startswith("error: p.yaml:8: stages.first.reuse: ")
    assert not (tmp_path / "runs").exists()


def test_from_without_init_is_a_fault(tmp_path: Path, capsys: Capture) -> None:
    make_pipeline(tmp_path)

    code = main(["submit", str(tmp_path / "p.yaml"), "--from", "third"])

    assert (code, capsys.readouterr().err) == (
        2,
        "error: --from STAGE and --init PATH belong together; give both\n",
    )


PROGRAM = """
import sys
import launcher.commands.submit as submit
import launcher.commands.watch as watch
from launcher.cli import main
from launcher.cluster import LocalCluster
from tests.launcher.pretend import Pretending

cluster = Pretending(LocalCluster(), steps=int(sys.argv[1]), step_s=float(sys.argv[2]))
submit.open_cluster = watch.open_cluster = lambda _: cluster
sys.exit(main(sys.argv[3:]))
"""


def launch(folder: Path, steps: int, step_s: float, *arguments: str) -> subprocess.Popen[str]:
    """The launcher in a process group of its own, as a terminal starts it; its jobs pretend."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(steps), str(step_s), *arguments],
        env={**os.environ, "LAUNCHER_RUNS": str(folder / "runs")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_local_submit_ends_with_the_status_and_the_results(tmp_path: Path) -> None:
    make_pipeline(tmp_path)

    process = launch(tmp_path, 3, 0.02, "submit", str(tmp_path / "p.yaml"))
    out, err = process.communicate(timeout=180)

    assert process.returncode == 0, err
    lines = [line.split() for line in out.splitlines()]
    assert [line[:2] for line in lines[1:5]] == [
        ["first", "reused"],
        ["second", "done"],
        ["middle", "done"],
        ["third", "done"],
    ]
    assert lines[-1] == ["third", "Moving", "0.750", "3/4", "0.250"]
    assert "second: done" in err


def test_ctrl_c_at_the_terminal_stops_after_a_save_and_watch_goes_on(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path)
    process = launch(tmp_path, 500, 0.05, "submit", str(tmp_path / "p.yaml"))
    give_up = time.monotonic() + 60
    while not list(tmp_path.glob("runs/*/stages/second/events/*.jsonl")):
        assert time.monotonic() < give_up
        time.sleep(0.1)
    time.sleep(1)

    os.killpg(process.pid, signal.SIGINT)  # what a terminal does: to the whole group
    _, err = process.communicate(timeout=180)

    assert process.returncode == 130
    assert "go on: python -m launcher watch demo-" in err
    assert states(open_ledger(pipeline))["second"] == "interrupted"

    process = launch(tmp_path, 40, 0.01, "watch", "--json")
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert [stage["attempts"] for stage in json.loads(out)["stages"]] == [0, 2, 1, 1]
