"""Every command that reads says the same of a ledger on a server as of one in a file."""

import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.cli import main
from tests.launcher.ledgers import NOW, small_ledger
from tests.postgresql import PostgreSQL

COMMANDS = (
    "status --no-refresh",
    "status --no-refresh --all",
    "status --no-refresh --json",
    "status --no-refresh --csv",
    "history",
    "history --json",
    "events",
    "events --csv",
    "metrics",
    "export",
    "export --format csv --force -o exported",
    "report -o -",
    "why second",
    "why third --json",
    "nodes",
)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    with PostgreSQL() as started:
        yield started


@pytest.fixture(scope="module")
def urls(server: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The same rows in a file and on a server."""
    folder = tmp_path_factory.mktemp("runs")
    small_ledger(folder)
    small_ledger(folder, url=(url := server.new_database()))
    return f"sqlite:///{folder}/ledger.db", url


@pytest.mark.parametrize("command", COMMANDS)
def test_command_says_the_same_of_both(
    command: str,
    urls: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    monkeypatch.setenv("LAUNCHER_RUNS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    told = []
    for url in urls:
        monkeypatch.setenv("LAUNCHER_LEDGER", url)
        code = main(shlex.split(command))
        out, err = capsys.readouterr()
        told.append((code, out.replace(url.removeprefix("sqlite:///"), "LEDGER"), err))

    on_a_file, on_a_server = told
    assert on_a_file[0] == 0, on_a_file[2]
    assert on_a_server == on_a_file
