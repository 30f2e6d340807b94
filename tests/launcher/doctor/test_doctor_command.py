"""`launcher doctor`, and what `launcher submit` refuses, as they are typed."""

import ast
import json
import re
from pathlib import Path

import pytest

from launcher.cli import main
from tests.launcher.cluster.programs import only_programs, put_program
from tests.launcher.doctor.sites import CAPTURED
from tests.launcher.pasts import put_attempt, put_checkpoints
from tests.launcher.steered import World
from tests.launcher.worlds import make_pipeline

ROOT = Path(__file__).parents[3]
Capture = pytest.CaptureFixture[str]
SLURM = ("--set", "cluster.backend=slurm", "--set", "cluster.partition=preempt")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipeline, and Slurm's programs that say what the real ones said once."""
    monkeypatch.delenv("LAUNCHER_LEDGER", raising=False)
    monkeypatch.setenv("LAUNCHER_RUNS", str(tmp_path / "runs"))
    make_pipeline(tmp_path)
    programs = tmp_path / "programs"
    only_programs(monkeypatch, programs)
    put_program(
        programs,
        "scontrol",
        f'case "$*" in\n  "show config") cat {CAPTURED}/config.txt;;\n'
        f'  "show partition -o") cat {CAPTURED}/partitions.txt;;\n  *) echo node1;;\nesac',
    )
    put_program(
        programs,
        "sinfo",
        f'case "$*" in *%n*) hostname;; *) cat {CAPTURED}/nodes.txt;; esac',
    )
    put_program(programs, "sbatch", "echo slurm-wlm 22.05.8")
    return tmp_path


def doctor(folder: Path, *more: str) -> int:
    return main(["doctor", str(folder / "p.yaml"), *SLURM, *more])


def test_good_pipeline_has_no_error_and_nothing_is_written(folder: Path, capsys: Capture) -> None:
    code = doctor(folder)

    said = capsys.readouterr().out
    assert code == 0
    assert "p.yaml:10: stages.second.cluster (also middle, third): 1 node x 0 GPUs" in said
    assert not (folder / "runs").exists()


def test_what_can_never_run_is_exit_code_1(folder: Path, capsys: Capture) -> None:
    code = doctor(folder, "--set", "cluster.nodes=9", "--json")

    found = json.loads(capsys.readouterr().out)
    errors = [each for each in found["findings"] if each["level"] == "error"]
    assert (code, found["counts"]["error"]) == (1, 1)
    assert errors[0]["id"] == "nodes-too-many"
    assert all(errors[0][key] for key in ("subject", "where", "what", "why", "next"))


def test_silent_slurm_is_exit_code_3_and_the_rest_is_looked_at(
    folder: Path, capsys: Capture
) -> None:
    put_program(
        folder / "programs", "scontrol", "echo scontrol: error: Unable to contact >&2; false"
    )

    code = doctor(folder)

    said = capsys.readouterr()
    assert code == 3
    assert "not checked" in said.out
    assert "ledger" in said.out
    assert said.err.startswith("error: scontrol: Unable to contact")


def test_missing_slurm_is_exit_code_3_where_the_pipeline_wants_it(
    folder: Path, capsys: Capture
) -> None:
    (folder / "programs" / "sbatch").unlink()

    assert doctor(folder) == 3
    assert "login node" in capsys.readouterr().err
    assert main(["doctor", str(folder / "p.yaml")]) == 0  # its own backend is this machine


def test_submit_refuses_what_can_never_run_before_anything_is_written(
    folder: Path, capsys: Capture
) -> None:
    command = ["submit", str(folder / "p.yaml"), *SLURM, "--set", "cluster.gpus_per_node=9"]

    code = main(command)

    first, last = capsys.readouterr().err.splitlines()
    assert code == 2
    assert first.startswith("error: p.yaml:10: stages.second.cluster.gpus_per_node (also middle")
    assert last.startswith("error: nothing was submitted; more: launcher doctor ")
    assert not (folder / "runs").exists()


def test_force_submits_it_all_the_same_and_warns(folder: Path, capsys: Capture) -> None:
    command = ["submit", str(folder / "p.yaml"), *SLURM, "--set", "cluster.gpus_per_node=9"]

    main([*command, "--force"])

    assert "warning: p.yaml:10: stages.second.cluster.gpus_per_node" in capsys.readouterr().err
    assert (folder / "runs" / "ledger.db").exists()


def test_folder_of_runs_that_is_named_is_the_one_for_all(folder: Path, capsys: Capture) -> None:
    world = World(folder)
    put_attempt(world.ledger, "second")
    put_checkpoints(world.ledger, "second", (1, 2.0))
    world.pipeline.runs.rename(folder / "elsewhere")

    doctor(folder, "--json", "--runs", str(folder / "elsewhere"))

    found = json.loads(capsys.readouterr().out)["findings"]
    [room] = [each for each in found if each["id"] == "room"]
    assert room["where"] == str(folder / "elsewhere")
    assert "checkpoints of second" in room["what"]


@pytest.mark.parametrize("width", [80, 200])
def test_no_line_is_longer_than_the_terminal_or_ends_in_blanks(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))

    doctor(folder, "--set", "cluster.nodes=9", "--set", "cluster.time_limit=2h")

    lines = capsys.readouterr().out.splitlines()
    too_long = [line for line in lines if len(line) > width and " " in line[19:].strip()]
    assert too_long == []
    assert [line for line in lines if line != line.rstrip()] == []


@pytest.mark.parametrize(
    "arguments", [["--set", "cluster.nodes=2"], ["--probe"], ["p.yaml", "--wait", "soon"]]
)
def test_wrong_command_line_is_exit_code_2(
    folder: Path, capsys: Capture, arguments: list[str]
) -> None:
    (folder / "programs" / "sbatch").unlink()

    assert main(["doctor", *arguments]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def ids_in_code() -> set[str]:
    """What is given as `id=`, or as the id of a helper that makes findings."""
    found = set()
    for path in [*(ROOT / "launcher/doctor").glob("*.py"), ROOT / "launcher/grace.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            helper = getattr(node.func, "id", "")
            at = {"_error": 1, "_finding": 1, "_Amount": 1, "_note": 0, "_warning": 0}.get(helper)
            given = [each.value for each in node.keywords if each.arg == "id"]
            given += [node.args[at]] if at is not None and len(node.args) > at else []
            found |= {each.value for each in given if isinstance(each, ast.Constant)}
    return found


def test_every_finding_has_its_place_in_the_docs() -> None:
    text = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^### `([\w-]+)`", text, re.MULTILINE))

    assert len(documented) > 50
    assert ids_in_code() - documented == set()
    assert documented - ids_in_code() - {"nodes-unfit"} == set()


def test_every_finding_that_is_not_fine_says_what_to_do() -> None:
    silent = set()
    for path in (ROOT / "launcher/doctor").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding":
                given = {each.arg: ast.unparse(each.value) for each in node.keywords}
                if given["level"] not in ("Level.OK", "Level.NOTE") and "next" not in given:
                    silent.add(given["id"])

    assert silent == {"'env-file'"}  # its lines say so themselves
