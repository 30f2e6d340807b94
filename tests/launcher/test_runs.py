"""What to type next finds the run from where it is typed."""

from pathlib import Path

import pytest

from launcher.runs import next_command


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LAUNCHER_RUNS", "LAUNCHER_LEDGER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_run_below_the_current_folder_needs_only_its_id(tmp_path: Path) -> None:
    command = next_command("watch", tmp_path / "runs" / "demo-1")

    assert command == "python -m launcher watch demo-1"


def test_run_elsewhere_is_named_with_its_folder_of_runs() -> None:
    command = next_command("status --run", Path("/my data/runs/demo-1"))

    assert command == "python -m launcher status --run demo-1 --runs '/my data/runs'"


def test_shared_ledger_knows_a_run_wherever_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAUNCHER_LEDGER", "sqlite:////ledger.db")

    assert next_command("watch", Path("/runs/demo-1")) == "python -m launcher watch demo-1"
