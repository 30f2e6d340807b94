"""What the README says is what happens."""

import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Program
from tests.e2e.readme import README, commands, slurm_options


def test_readme_shows_the_commands_that_the_tests_run():
    demo = "submit pipeline.demo.yaml"

    assert [line.removesuffix(" ".join(slurm_options())).strip() for line in commands()] == [
        "plan pipeline.yaml",
        demo,  # tests/e2e/test_local.py
        demo,  # tests/e2e/test_slurm.py, with the same options
    ]


def test_readme_shows_the_plan_as_it_is_printed(program: Program):
    printed = program("plan", "pipeline.yaml").stdout
    table = printed.split("\n\n")[0]

    lines = [line.rstrip() for line in table.splitlines()]
    (disk,) = [line for line in lines if line.startswith("disk: ")]  # another one on each machine
    assert lines[-1] == disk
    assert lines[:-1] == commands()["plan pipeline.yaml"].rstrip().splitlines()


@pytest.mark.parametrize(
    "target", ["demo", "test", "check", "docs", "weights", "cluster-up", "cluster-down"]
)
def test_make_knows_the_targets(target: str):
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, check=False)

    assert done.returncode == 0


def test_readme_is_short_and_its_folders_exist():
    text = README.read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip().strip("`") for line in text.splitlines() if "/` |" in line]

    assert len(text.splitlines()) <= 150
    assert {"launcher/", "db/", "jobs/", "model/", "tests/", "bench/"} <= set(rows)
    assert all(Path(ROOT, row).is_dir() for row in rows)
