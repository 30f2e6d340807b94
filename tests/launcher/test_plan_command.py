"""`launcher plan` with its options, as a user types it."""

import json

import pytest

from launcher.foresee import PRESETS
from tests.launcher.test_cli import launcher

STORM = ("plan", "pipeline.yaml", "--preemptions=4/day", "--failures=llama3", "--trials=50")


@pytest.fixture(autouse=True)
def _no_runs_of_this_checkout(tmp_path, monkeypatch):
    """What was run here before says how long a stage takes."""
    monkeypatch.setenv("LAUNCHER_RUNS", str(tmp_path / "runs"))


def test_plan_under_interruptions_tells_when_it_is_done_and_how_often_to_save():
    done = launcher(*STORM, "--save", "60s", "--restart", "3m", "--nodes", "2,3,8", COLUMNS="80")

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert "with 4/day preemptions of each job" in lines
    assert "with 0.00379 failures a node and day (llama3: Llama 3 405B, arXiv 2407.21783)" in lines
    assert "of 50 simulated runs, seed 1" in lines
    assert "critical path: stage2 -> stage3, 18 h" in lines
    [fault] = [line for line in lines if line.startswith("  3 nodes: ")]
    assert "global_batch 512 cannot be shared by 24 ranks" in fault
    assert max(len(line) for line in lines if line.startswith("stage")) <= 80


def test_plan_as_json_foresees_the_same_for_the_same_seed():
    first, again, other = (
        json.loads(launcher(*STORM, "--json", "--seed", seed).stdout) for seed in ("1", "1", "2")
    )

    # The room on the disk is another each time.
    assert first["outlook"] == again["outlook"] != other["outlook"]
    assert first["outlook"]["p10_s"] <= first["outlook"]["p50_s"] <= first["outlook"]["p90_s"]
    assert first["critical_path"] == ["stage2", "stage3"]
    assert first["basis"] == {"stage2": "expect", "stage3": "expect", "mvbench": None}
    stage = first["outlook"]["stages"][0]
    assert (stage["assumed"]["save_s"], stage["assumed"]["save_by"]) == (60, "assumed")
    assert stage["interval"]["young_s"] > stage["interval"]["daly_s"] > 0


def test_plan_that_foresees_nothing_says_so_and_how_to_change_it():
    done = launcher("plan", "pipeline.demo.yaml", "--failures", "0.01/day")

    assert done.returncode == 0
    assert "warning: nothing to simulate: no stage says how long it takes" in done.stderr


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--preemptions", "4", "'4' is not a rate; write 4/day, 0.5/h or 2/week"),
        ("--failures", "gpt5", "'gpt5' is neither a rate such as 0.004/day nor one of llama3,"),
        ("--save", "1x", "'1x' is not a duration; write 12h, 90m, 30s or 1-12:00:00"),
        ("--nodes", "2,x", "'2,x': give numbers of nodes, such as 2,4,8"),
        ("--trials", "0", "'0': give a number of trials from 1 to 100000"),
    ],
)
def test_wrong_option_says_what_to_write(option, value, said):
    done = launcher("plan", "pipeline.yaml", option, value)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: launcher plan: argument {option}: {said}")


def test_help_begins_with_examples_and_names_the_presets():
    text = launcher("plan", "--help").stdout

    assert text.splitlines()[2].strip() == (
        "launcher plan pipeline.yaml --preemptions 4/day --save 60s --restart 3m"
    )
    assert all(name in text for name in PRESETS)
