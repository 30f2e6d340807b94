"""The code copy of a run is complete, clean, and knows its commit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.contract.paths import RunFolder
from launcher.errors import LauncherError
from launcher.snapshot import (
    PACKAGES,
    find_packages,
    identify_code,
    new_run_folder,
    take_snapshot,
)


def test_snapshot_holds_every_module_and_no_caches(tmp_path: Path) -> None:
    take_snapshot(RunFolder(tmp_path))

    copied = {path.relative_to(tmp_path / "code") for path in (tmp_path / "code").rglob("*.py")}
    source = find_packages()["launcher"].parent
    wanted = {
        path.relative_to(source)
        for name in PACKAGES
        for path in (source / name).rglob("*.py")
        if "tests" not in path.relative_to(source).parts
    }
    assert copied == wanted
    assert not list((tmp_path / "code").rglob("__pycache__"))


def test_snapshot_leaves_nothing_else_in_the_run_folder(tmp_path: Path) -> None:
    take_snapshot(RunFolder(tmp_path))

    assert [path.name for path in tmp_path.iterdir()] == ["code"]


def test_jobs_import_the_snapshot_and_not_the_working_tree(tmp_path: Path) -> None:
    take_snapshot(RunFolder(tmp_path))
    env = os.environ | {"PYTHONPATH": str(tmp_path / "code"), "PYTHONSAFEPATH": "1"}

    said = subprocess.run(
        [sys.executable, "-c", "import jobs.contract; print(jobs.contract.__file__)"],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    assert said.stdout.strip() == str(tmp_path / "code" / "jobs" / "contract" / "__init__.py")


def test_finding_the_packages_imports_no_torch() -> None:
    program = (
        "import sys, launcher.snapshot as s; s.find_packages(); "
        "print([name for name in ('torch', 'jobs.task', 'model') if name in sys.modules])"
    )

    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )

    assert said.stdout.strip() == "[]"


def test_code_has_a_commit_or_a_version() -> None:
    code = identify_code()

    assert len(code.sha) == 40 or code.sha.startswith("v") or code.sha == "unknown"


def test_run_folder_that_cannot_be_made_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(LauncherError, match="set `runs` in the pipeline file, or LAUNCHER_RUNS"):
        new_run_folder(tmp_path / "file" / "runs", "demo", 1e9)
