"""What a wrong command line, file or disk makes of each command: one line that helps, no traceback.

Each line says where, what, and what next; the exit code says whose fault it is.
"""

import getpass
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import update

from db.engine import ledger_url
from db.ledger import Ledger
from db.schema import Attempt, Run, StageRun
from db.version import MIGRATIONS, versions
from launcher.cli import COMMANDS, main
from tests.launcher.ledgers import small_ledger
from tests.launcher.pipelines import GOOD

ROOT = Path(__file__).parents[2]
NEWEST = versions(MIGRATIONS)[-1]
ALL = "first, second, third"
NOBODY = "run demo-1: no stage 'nope'; known: " + ALL
GONE = (
    "HERE/runs/demo-1: the folder of run demo-1 is gone, with its checkpoints; put it back there, "
    "or end the run: launcher cancel --run demo-1"
)
NOT_THERE = (
    "HERE/none/ledger.db: there is no ledger here; submit a run first, or set LAUNCHER_LEDGER or "
    "the runs folder to where it lies"
)
READ_A_LEDGER = (
    "status", "why second", "watch", "requeue", "cancel -y", "hold", "resume", "events",
    "checkpoints", "nodes", "adopt 5 --stage second", "metrics", "export",
)  # fmt: skip
WRONG = {
    # a file that is not there, a folder, not text, not YAML, not a pipeline
    "plan none.yaml": (2, "none.yaml: no such file; here are: bytes.yaml, open.yaml, p.yaml"),
    "submit none.yaml": (2, "none.yaml: no such file; here are: bytes.yaml, open.yaml, p.yaml"),
    "data check none.yaml": (2, "none.yaml: no such file; here are: bytes.yaml, open.yaml, p.yaml"),
    "plan folder": (2, "folder: is a folder; name the pipeline file in it"),
    "submit bytes.yaml": (2, "bytes.yaml:2: not UTF-8 (byte 0xff); save it as UTF-8"),
    "plan open.yaml": (
        2,
        "open.yaml:2: not YAML: expected ',' or ']', but got '<stream end>'; mind indents and "
        "quotes",
    ),
    "plan p.yaml --set a": (2, "--set a: write key=value, such as --set cluster.nodes=2"),
    "submit p.yaml --from nope --init x": (
        2,
        "--from nope: no such stage; known: first, second, third",
    ),
    "submit p.yaml --from second": (2, "--from STAGE and --init PATH belong together; give both"),
    # a ledger that is none
    "status --runs none": (4, NOT_THERE),
    "metrics --runs none": (4, NOT_THERE),
    "export --runs none": (4, NOT_THERE),
    "status --runs empty": (
        2,
        "HERE/empty/ledger.db: no runs yet; submit one: launcher submit pipeline.yaml",
    ),
    "export --run x --runs empty": (
        2,
        "HERE/empty/ledger.db: no runs yet; submit one: launcher submit pipeline.yaml",
    ),
    "status --runs text": (
        4,
        "HERE/text/ledger.db: this file is not a ledger; move it away, or set LAUNCHER_LEDGER to "
        "the right one",
    ),
    "metrics --runs folder": (
        4,
        "HERE/folder/ledger.db: this is a folder, not a ledger; name the file, or move the folder "
        "away",
    ),
    "export --runs newer": (
        4,
        f"HERE/newer/ledger.db: it has version 0999, this launcher knows up to {NEWEST}; use the "
        "launcher that wrote it, or a newer one",
    ),
    "events --runs other": (
        4,
        "HERE/other/ledger.db: this database is not a ledger: it has the tables t; set "
        "LAUNCHER_LEDGER to the right one",
    ),
    "why second --runs cut": (
        4,
        "HERE/cut/ledger.db: the database is damaged; put a copy in its place, or try `sqlite3 "
        "FILE .recover`",
    ),
    # a run or stage of nobody; with --json the error is the same
    "status --run nope --json": (2, "no run 'nope'; known, newest first: demo-1"),
    "watch nope": (2, "no run 'nope'; known, newest first: demo-1"),
    "export --run nope": (2, "no run 'nope'; known, newest first: demo-1"),
    "why nope --json": (2, NOBODY),
    "events --stage nope": (2, NOBODY),
    "checkpoints nope": (2, NOBODY),
    "cancel -y nope": (2, NOBODY),
    "hold nope": (2, NOBODY),
    "resume nope": (1, GONE),
    "adopt 5 --stage nope": (2, NOBODY),
    "nodes clear n99": (2, "node n99 is not in quarantine; see launcher nodes"),
    # a run whose folder was deleted behind the ledger's back
    "watch": (1, GONE),
    "resume third": (1, GONE),
    "checkpoints": (1, GONE),
    # a number that is none
    "events -n x": (
        2,
        "launcher events: argument -n: x: give a whole number, 0 or more; see launcher events "
        "--help",
    ),
    "events -n -5": (
        2,
        "launcher events: argument -n: -5: give a whole number, 0 or more; see launcher events "
        "--help",
    ),
    "metrics --days nan": (
        2,
        "launcher metrics: argument --days: nan: give a number of days, 0 or more; see launcher "
        "metrics --help",
    ),
    "data check a.json --timeout nan": (
        2,
        "launcher data: argument --timeout: nan: give a number of minutes, more than 0; see "
        "launcher data --help",
    ),
    "data check a.json --decode -3": (
        2,
        "launcher data: argument --decode: -3: give a whole number, 0 or more; see launcher data "
        "--help",
    ),
    "data check a.json --fps 0": (2, "launcher data check: --fps: must be greater than 0"),
    # a place that cannot be written to
    "metrics -o folder": (2, "folder: is a folder; name a file in it"),
    "export -o folder": (2, "folder: is a folder; name a file in it"),
    "metrics -o none/x.prom": (
        2,
        "HERE/none/x.prom: there is no folder HERE/none; make it first",
    ),
    "export -o none/x.json": (2, "HERE/none/x.json: there is no folder HERE/none; make it first"),
    "export --format csv -o none/x": (
        2,
        "HERE/none/x: there is no folder HERE/none; make it first",
    ),
    "export --format csv -o p.yaml": (
        2,
        "HERE/p.yaml: is a file; CSV files need a folder: name another one",
    ),
    "export --format csv -o .": (
        2,
        "HERE: is the current folder; name a new one in it, such as -o ledger",
    ),
    "export --format csv": (
        2,
        "--format csv: there is a file for each table; name a folder: -o FOLDER",
    ),
    "export --format csv -o -": (
        2,
        "--format csv: there is a file for each table; name a folder: -o FOLDER",
    ),
    "export --force": (2, "--force: a JSON file is replaced anyway; it goes with --format csv"),
    "metrics -o /dev/full": (
        1,
        "/dev/full: cannot be written: No space left on device; make room, mend its rights, or "
        "name another place",
    ),
    "export -o /dev/full": (
        1,
        "/dev/full: cannot be written: No space left on device; make room, mend its rights, or "
        "name another place",
    ),
    # no such word
    "completion fish": (
        2,
        "launcher completion: argument shell: invalid choice: 'fish' (choose from 'bash', 'zsh'); "
        "see launcher completion --help",
    ),
    "help xyz": (2, "no command 'xyz'; known: " + ", ".join(COMMANDS)),
}  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder of many wrong things, and one ledger whose run's folder is gone."""
    monkeypatch.delenv("LAUNCHER_LEDGER", raising=False)
    monkeypatch.setenv("LAUNCHER_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    make_ledger(tmp_path / "runs")
    (tmp_path / "p.yaml").write_text(GOOD)
    (tmp_path / "open.yaml").write_text("name: [a\n")
    (tmp_path / "bytes.yaml").write_bytes(b"name: a\n\xff\n")
    (tmp_path / "a.json").write_text("[]")
    for name in ("text", "newer", "other", "cut", "folder/ledger.db"):
        (tmp_path / name).mkdir(parents=True)
    Ledger.open(ledger_url(tmp_path / "empty", {}), create=True)
    (tmp_path / "text" / "ledger.db").write_text("no database, but a long enough text\n" * 99)
    shutil.copy(tmp_path / "runs" / "ledger.db", tmp_path / "newer")
    execute(tmp_path / "newer", "UPDATE alembic_version SET version_num = '0999'")
    execute(tmp_path / "other", "CREATE TABLE t (a)")
    whole = (tmp_path / "runs" / "ledger.db").read_bytes()
    (tmp_path / "cut" / "ledger.db").write_bytes(whole[:9000])
    return tmp_path


def make_ledger(runs: Path) -> None:
    """A run of ours on this machine, whose folder nobody has made."""
    with small_ledger(runs).write() as session:
        session.execute(
            update(Run).values(submitted_by=getpass.getuser(), folder=str(runs / "demo-1"))
        )
        session.execute(update(StageRun).values(cluster="local"))
        session.execute(update(Attempt).values(cluster="local"))


def execute(folder: Path, statement: str) -> None:
    connection = sqlite3.connect(folder / "ledger.db")
    with connection:
        connection.execute(statement)
    connection.close()


def launcher(
    *arguments: str, before: Sequence[str] = (), shell: str = "", **extra: str
) -> subprocess.CompletedProcess[str]:
    """A process of its own; `shell` follows the arguments, such as `>/dev/full`."""
    command = [*before, sys.executable, "-m", "launcher", *arguments]
    return subprocess.run(
        ["sh", "-c", f'"$@" {shell}', "sh", *command],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | extra,
        timeout=180,
        check=False,
    )


@pytest.mark.parametrize("line", WRONG)
def test_wrong_command_line_is_told_in_one_line_with_its_exit_code(
    here: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    code, told = WRONG[line]

    found = main(line.split())

    said = capsys.readouterr()
    assert (found, said.err.replace(str(here), "HERE")) == (code, f"error: {told}\n")
    assert said.out == ""
    assert not (here / "state").exists()  # no report of a bug


@pytest.mark.parametrize("line", READ_A_LEDGER)
@pytest.mark.parametrize(("folder", "code"), [("none", 4), ("newer", 4), ("text", 4), ("cut", 4)])
def test_every_command_tells_of_a_ledger_that_it_cannot_use(
    here: Path, capsys: pytest.CaptureFixture[str], line: str, folder: str, code: int
) -> None:
    found = main([*line.split(), "--runs", folder])

    said = capsys.readouterr()
    assert (found, said.out) == (code, "")
    assert said.err.startswith(f"error: {here}/{folder}/ledger.db: ")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("/runs/ledger.db", "LAUNCHER_LEDGER: this is not a database URL; "),
        ("postgresql://me:pa@ss:secret@host:x/db", "LAUNCHER_LEDGER: this is not a database URL; "),
        ("sqlite:///:memory:", ":memory:: it would be lost at the end; "),
    ],
)
def test_wrong_url_of_the_ledger_is_told_without_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys, url: str, told: str
) -> None:
    monkeypatch.setenv("LAUNCHER_LEDGER", url)

    code = main(["status"])

    err = capsys.readouterr().err
    assert (code, err.startswith(f"error: {told}")) == (4, True)
    assert "secret" not in err


FULL = "error: standard output: No space left on device; make room there, or write to another place"


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("line", ["", "metrics", "export", "status --no-refresh", "nodes --json"])
def test_full_disk_below_standard_output_is_no_bug(line: str, unbuffered: str) -> None:
    done = launcher(*line.split(), shell=">/dev/full", PYTHONUNBUFFERED=unbuffered)

    assert (done.returncode, done.stderr) == (1, f"{FULL}\n")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("shell", "line", "code"),
    [
        (">&-", "metrics", 0),
        ("2>&-", "status --run nope", 2),
        ("2>/dev/full", "export --format csv -o ledger", 0),
        ("<&-", "cancel", 0),
        ("<&- >&- 2>&-", "status --no-refresh", 0),
    ],
)
def test_closed_stream_changes_nothing_about_the_exit_code(
    shell: str, line: str, code: int
) -> None:
    assert launcher(*line.split(), shell=shell).returncode == code


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("line", ["metrics", "export", "completion bash", "events"])
def test_reader_that_leaves_early_gets_no_traceback(line: str) -> None:
    done = launcher(*line.split(), shell="| head -c 1")

    assert (len(done.stdout), done.stderr) == (1, "")


def test_letter_that_the_terminal_lacks_is_shown_by_its_number(here: Path) -> None:
    shutil.copytree(here / "runs", here / "dömö")

    done = launcher("metrics", "--runs", "dömö", PYTHONIOENCODING="ascii")

    assert (done.returncode, done.stderr) == (0, "")
    assert r'd\xf6m\xf6/ledger.db"' in done.stdout


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("columns", ["0", "1", "40", "abc"])
@pytest.mark.parametrize("line", ["status --no-refresh", "plan p.yaml", "plan --help", "--help"])
def test_odd_width_breaks_nothing(line: str, columns: str, monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", columns)

    assert (main(line.split()), capsys.readouterr().err.count("bug")) == (0, 0)


def bound() -> list[str]:
    """Lets root, too, be kept out of what is not for him."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


UNREADABLE = "p.yaml: Permission denied; check the path and its rights"
LOCKED = (
    "HERE/runs/ledger.db: SQLite cannot open it for reading and writing, which it needs also to "
    "look; look at the rights of the file and of its folder, or at a copy of it"
)


@pytest.mark.parametrize(
    ("modes", "line", "code", "told"),
    [
        (
            {"p.yaml": 0},
            "plan p.yaml",
            2,
            UNREADABLE,
        ),
        ({"runs/ledger.db": 0o444, "runs": 0o555}, "status", 4, LOCKED),
        ({"runs/ledger.db": 0o444, "runs": 0o555}, "requeue", 4, LOCKED),
        ({"runs/ledger.db": 0}, "metrics", 4, LOCKED),
        (
            {"runs": 0},
            "metrics",
            4,
            "HERE/runs/ledger.db: it cannot be reached: Permission denied; look at the rights of "
            "its folder",
        ),
        (
            {"folder": 0o555},
            "export -o folder/x.json",
            1,
            "HERE/folder/x.json: cannot be written: Permission denied; make room, mend its rights, "
            "or name another place",
        ),
        (
            {"folder": 0o555},
            "export --format csv -o folder/x",
            1,
            "HERE/folder/x: cannot be written: Permission denied; make room, mend its rights, or "
            "name another place",
        ),
        (
            {"folder": 0o555},
            "metrics -o folder/x.prom",
            1,
            "HERE/folder/x.prom: cannot be written: Permission denied; make room, mend its rights, "
            "or name another place",
        ),
        (
            {"folder": 0},
            "export -o folder/x.json",
            1,
            "folder/x.json: Permission denied; look whether it is there, its rights, and its disk",
        ),
    ],
)
def test_what_may_not_be_read_or_written_is_told_with_its_path(
    here: Path, modes: dict[str, int], line: str, code: int, told: str
) -> None:
    for name, mode in modes.items():
        (here / name).chmod(mode)

    done = launcher(*line.split(), before=bound())

    for name in modes:
        (here / name).chmod(0o755)
    assert (done.returncode, done.stderr.replace(str(here), "HERE")) == (code, f"error: {told}\n")


PRESSED = """
import os, runpy, signal, sys

class Presser:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

module, sys.argv = sys.argv[1], ["launcher", "export"]
sys.meta_path.insert(0, Presser())
runpy.run_module("launcher", run_name="__main__", alter_sys=True)
"""
"""Somebody presses Ctrl-C at the moment in which a module is about to be imported."""


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("module", ["launcher.errors", "launcher.cli", "db.schema", "db.dump"])
def test_interrupt_while_modules_are_imported_shows_no_traceback(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRESSED, module],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=180,
        check=False,
    )

    assert "Traceback" not in done.stderr
    assert done.returncode in (130, -signal.SIGINT)
