"""The two programs of the cluster as a person types them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).parents[2]


def _type(*arguments: str, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_cluster_by_hand_goes_up_shows_itself_and_goes_down(short_path: Path) -> None:
    place = f"--dir={short_path / 'c'}"
    export = f"export SLURM_CONF={short_path}/c/slurm.conf"

    up, again = (_type("tests.cluster", "up", place) for _ in range(2))
    status = _type("tests.cluster", "status", place)
    down = _type("tests.cluster", "down", place)
    afterwards = _type("tests.cluster", "status", place)

    assert [done.returncode for done in (up, again, status, down, afterwards)] == [0, 0, 0, 0, 1]
    assert all(export in done.stdout for done in (up, again, status))
    assert not (short_path / "c").exists()


def test_install_has_nothing_to_do_where_all_is_there() -> None:
    done = _type("tests.cluster.install")

    assert (done.returncode, done.stderr) == (0, "Slurm is installed\n")


def test_install_that_cannot_says_so_in_one_line() -> None:
    done = _type("tests.cluster.install", path="/nowhere")

    assert done.returncode == 1
    assert [line.split(":")[:2] for line in done.stderr.splitlines()] == [
        ["error", " cannot install slurm-client"]
    ]
    assert done.stderr.endswith("then try again\n")
