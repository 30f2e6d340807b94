"""`launcher completion`: what bash offers at a TAB."""

import shutil
import subprocess
from pathlib import Path

import pytest

from launcher.cli import COMMANDS, full_parser
from launcher.completion import SHELLS, script

TAB = """\
source "$1"; shift
cd "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_shtab_launcher
printf '%s\\n' "${COMPREPLY[@]}"
"""
TAKE_RUN = [
    name
    for name, parser in full_parser()[1].items()
    if any("--run" in action.option_strings for action in parser._actions)
]


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "launcher"
    path.write_text(script(full_parser()[0], "bash"))
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of pipelines, with two runs, of which the second is newer."""
    monkeypatch.delenv("LAUNCHER_RUNS", raising=False)
    for name in ("pipeline.yaml", "my pipeline.yml", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "data").mkdir()
    for age, (run, stages) in enumerate({"demo-2": ["stage2", "mvbench"], "demo-1": ["x"]}.items()):
        for stage in stages:
            (tmp_path / "runs" / run / "stages" / stage).mkdir(parents=True)
        file = tmp_path / "runs" / run / "pipeline.yaml"
        file.touch()
        subprocess.run(["touch", "-d", f"{age} hours ago", str(file)], check=True, timeout=10)
    (tmp_path / "runs" / "demo-is-no-run").mkdir()
    return tmp_path


def offered(bash_script: Path, here: Path, *words: str) -> list[str]:
    """What bash offers for the last word of `launcher ...`."""
    done = subprocess.run(
        ["bash", "-u", "-c", TAB, "bash", str(bash_script), str(here), "launcher", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""
    return sorted(set(filter(None, done.stdout.splitlines())))


def test_first_word_is_a_command(bash_script: Path, here: Path) -> None:
    assert offered(bash_script, here, "") == sorted(COMMANDS)
    assert offered(bash_script, here, "exp") == ["export"]


def test_pipeline_is_a_yaml_file_or_the_way_to_one(bash_script: Path, here: Path) -> None:
    found = ["data", "my pipeline.yml", "pipeline.yaml", "runs"]

    assert offered(bash_script, here, "plan", "") == found
    assert offered(bash_script, here, "submit", "my") == ["my pipeline.yml"]


def test_run_is_a_folder_that_holds_a_frozen_pipeline(bash_script: Path, here: Path) -> None:
    assert offered(bash_script, here, "status", "--run", "") == ["demo-1", "demo-2"]
    assert offered(bash_script, here, "watch", "demo-2") == ["demo-2"]


@pytest.mark.parametrize("name", TAKE_RUN)
def test_run_is_offered_to_every_command_that_takes_one(
    name: str, bash_script: Path, here: Path
) -> None:
    assert offered(bash_script, here, name, "--run", "") == ["demo-1", "demo-2"]


@pytest.mark.parametrize("name", ["history", "report", "requeue", "watch"])
def test_run_is_offered_without_an_option(name: str, bash_script: Path, here: Path) -> None:
    assert offered(bash_script, here, name, "demo-2") == ["demo-2"]


def test_run_is_looked_for_where_the_launcher_does(
    bash_script: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.move(here / "runs", here / "my runs")
    monkeypatch.setenv("LAUNCHER_RUNS", str(here / "my runs"))

    assert offered(bash_script, here, "status", "--run", "") == ["demo-1", "demo-2"]


def test_stage_is_one_of_the_newest_run(bash_script: Path, here: Path) -> None:
    assert offered(bash_script, here, "why", "") == ["mvbench", "stage2"]
    assert offered(bash_script, here, "cancel", "stage2", "m") == ["mvbench"]


def test_nothing_is_offered_or_said_where_there_are_no_runs(
    bash_script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAUNCHER_RUNS", raising=False)

    assert offered(bash_script, tmp_path, "status", "--run", "") == []
    assert offered(bash_script, tmp_path, "why", "") == []


def test_options_and_choices_are_those_of_the_command(bash_script: Path, here: Path) -> None:
    assert offered(bash_script, here, "export", "--f") == ["--force", "--format"]
    assert offered(bash_script, here, "export", "--format", "") == ["csv", "json"]
    assert offered(bash_script, here, "cron", "") == ["install", "remove", "show"]


def test_folder_is_offered_where_one_is_wanted(bash_script: Path, here: Path) -> None:
    assert offered(bash_script, here, "status", "--runs", "") == ["data", "runs"]


@pytest.mark.parametrize("shell", SHELLS)
def test_script_knows_every_command_with_what_it_does(shell: str) -> None:
    text = script(full_parser()[0], shell)

    assert [name for name in COMMANDS if f"_shtab_launcher_{name}_" not in text] == []
    if shell == "zsh":
        assert "metrics:'the ledger as metrics for Prometheus'" in text
