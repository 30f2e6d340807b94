"""`launcher data check` as a user meets it: whole streams and exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.launcher.worlds import make_pipeline

ROOT = Path(__file__).parents[2]
CAPTION = {"video": "a.mp4", "caption": "x"}
CHOICE = {"video": "a.mp4", "question": "q", "candidates": ["x", "y"], "answer": "x"}


def check(*args: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "launcher", "data", "check", *map(str, args)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False
    )


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """An annotation file of two captions, and their clip."""
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").touch()
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([CAPTION] * 2))
    return path


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """A pipeline file of two trainings and an evaluation, all on one file."""
    made = make_pipeline(tmp_path)
    (tmp_path / "data" / "a.mp4").touch()
    return made.path


def test_sound_file_is_shown_and_ends_with_0(rows: Path) -> None:
    done = check(rows, "--media", rows.parent / "clips")

    assert done.returncode == 0
    assert [line.split() for line in done.stdout.splitlines()[1:]] == [
        ["-", "rows", "2", "video", "caption", "2", "0", "0"],
        ["rows:", "100.0%", "video"],
    ]
    assert done.stderr == f"set 1 of 1: {rows}\n"


def test_faults_are_shown_with_row_and_field_and_end_with_1(rows: Path) -> None:
    rows.write_text(json.dumps([CAPTION, CAPTION | {"caption": ""}] * 25))

    done = check(rows, "--quiet")

    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (1, "")
    assert lines[3] == f"{rows}: row 1: caption: is empty"
    assert lines[-3] == "  ... and 5 more"
    assert lines[-1] == (
        "1 of 1 sets have faults: mend or remove these rows, or correct the paths, and check again"
    )


def test_pipeline_is_checked_set_by_set_with_the_parts_of_the_kinds(pipeline: Path) -> None:
    (pipeline.parent / "data" / "a.json").write_text(json.dumps([CHOICE] * 3))

    done = check(pipeline, "--json")

    found = json.loads(done.stdout)
    assert (done.returncode, found["ok"]) == (0, True)
    assert [(one["stage"], one["name"], one["rows"]) for one in found["sets"]] == [
        ("second", "a", 3),
        ("middle", "a", 3),
        ("third", "Moving", 3),
    ]
    assert found["shares"] == {name: {"video": 1.0} for name in ("second", "middle", "third")}


def test_task_without_choices_is_a_fault_only_where_it_is_examined(pipeline: Path) -> None:
    (pipeline.parent / "data" / "a.json").write_text(json.dumps([CAPTION]))

    whole, one_stage = check(pipeline, "--json"), check(pipeline, "--json", "--stage", "middle")

    counts = [one["fault_count"] for one in json.loads(whole.stdout)["sets"]]
    assert (whole.returncode, counts) == (1, [0, 0, 1])
    assert one_stage.returncode == 0


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (["rows.json", "--stage", "x"], "--stage and --set are for a pipeline file (.yaml)"),
        (["rows.json", "--kind", "frames"], "kind: frames needs fps"),
        (["pipeline.yaml", "--media", "x"], "in a pipeline file give `media` beside"),
        (["pipeline.yaml", "--stage", "stag3"], "no stage 'stag3'; known: stage1"),
    ],
)
def test_options_that_do_not_fit_the_file_are_refused(args: list[str], what: str) -> None:
    done = check(*args)

    assert done.returncode == 2
    assert what in done.stderr


def test_python_without_the_packages_is_told_with_what_to_do(tmp_path: Path) -> None:
    made = make_pipeline(tmp_path, ["cluster.python=/no/such/python"])

    done = check(made.path, "--set", "cluster.python=/no/such/python")

    assert done.returncode == 1
    assert "/no/such/python: No such file or directory; correct cluster.python" in done.stderr


def test_check_that_takes_too_long_is_given_up(rows: Path) -> None:
    done = check(rows, "--timeout", "0.0001")

    assert done.returncode == 1
    assert "not checked in 0.0001 min; give --timeout more minutes" in done.stderr
