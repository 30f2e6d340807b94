"""Debian's cron daemon runs the line that `launcher cron install` wrote with Debian's crontab.

As root, like the test cluster. Root's crontab keeps its lines: the launcher's own promise, and
the fixture looks after it. A daemon that runs here already is used, else one is started.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from db.ledger import Ledger
from db.passes import last_pass
from launcher.cron.tables import Table
from launcher.errors import LauncherError
from tests.cluster.install import SEARCH_PATH, missing_packages

ROOT = Path(__file__).parents[2]
FOREIGN = b"# somebody's own 100% line\n0 0 31 2 *\t/bin/true \\% \xe9\n"
FIRES_WITHIN_S = 70
"""cron looks at the start of each minute, and at a changed table only then."""

pytestmark = pytest.mark.cluster


def crontab(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["crontab", *arguments], capture_output=True, timeout=120, check=False)


def daemons() -> list[int]:
    """Processes of a program named cron."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "comm").read_text() == "cron\n":
                found.append(int(entry.name))
        except OSError:
            continue  # it ended meanwhile
    return found


@pytest.fixture
def table(tmp_path) -> Iterator[Path]:
    """Root's crontab with a line of somebody else in it; at the end it is what it was."""
    if "cron" in missing_packages() or os.geteuid() != 0:
        pytest.fail("needs root and cron; run python -m tests.cluster.install", pytrace=False)
    before = crontab("-l")
    file = tmp_path / "crontab"
    file.write_bytes(before.stdout + FOREIGN)
    assert crontab(str(file)).returncode == 0
    yield file
    if before.returncode == 0:
        file.write_bytes(before.stdout)
        crontab(str(file))
    else:
        crontab("-r")


@pytest.fixture
def daemon(table) -> Iterator[None]:
    """A running cron."""
    if daemons():
        yield
        return
    lines = table.read_bytes().removesuffix(FOREIGN).splitlines()
    if any(line and not line.startswith(b"#") for line in lines):
        pytest.fail("root's crontab has lines that no daemon runs; start cron first", pytrace=False)
    process = subprocess.Popen([shutil.which("cron", path=SEARCH_PATH) or "cron", "-f"])
    yield
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=120)


def launcher(*arguments: str, runs: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "launcher", *arguments],
        cwd=ROOT,
        env={**os.environ, "LAUNCHER_RUNS": str(runs)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait(condition: Callable[[], bool], what: Callable[[], str], limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.5)


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.usefixtures("daemon")
def test_cron_runs_a_pass_within_a_minute_and_other_lines_stay(table, tmp_path):
    runs = tmp_path / "100% 'my' runs"
    ledger = Ledger.open(f"sqlite:///{runs / 'ledger.db'}", create=True)
    theirs = table.read_bytes()

    launcher("cron", "install", "--every", "1m", runs=runs)

    def has_passed() -> bool:
        with ledger.read() as session:
            return last_pass(session, good=True) is not None

    def story() -> str:
        log = runs / "requeue.log"
        said = log.read_text() if log.exists() else "no log"
        return f"cron ran no good pass; the log: {said}; the table: {crontab('-l').stdout!r}"

    assert crontab("-l").stdout.startswith(theirs)
    wait(has_passed, story, FIRES_WITHIN_S)
    shown = launcher("cron", "show", runs=runs)
    assert f"a pass over {runs} every 1 min\n" in shown
    assert "last good pass: " in shown
    assert (runs / "requeue.log").read_text() == ""  # nothing to do: nothing said
    launcher("cron", "remove", runs=runs)
    assert crontab("-l").stdout == theirs


def test_crontab_that_refuses_a_table_keeps_the_old_one(table):
    before = Table("crontab").read()

    with pytest.raises(LauncherError, match=r"the new one was refused: .*bad minute"):
        Table("crontab").write(b"61 * * * * true\n")

    assert Table("crontab").read() == before == table.read_bytes()
