"""The line that cron runs, run by a real shell without an environment; and its other forms."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.cron.entry import (
    EVERY_MIN,
    Entry,
    cron_lines,
    every_min_of,
    scron_lines,
    systemd_units,
)
from launcher.cron.settings import ledger_to_write, make_entry, try_out, unkept_slurm_options
from launcher.errors import LauncherError, UsageError

ROOT = Path(__file__).parents[2]
AWKWARD = 'it\'s 100% "my" $HOME; `runs` & ünì'
PROGRAM = """\
#!/bin/sh
echo "$0|$*|$PWD|$PATH|$VALUE|$HOME"
echo "and an error" >&2
"""


@pytest.fixture
def entry(tmp_path) -> Entry:
    """A pass whose Python only says how it was called, at paths that need quoting."""
    runs = tmp_path / AWKWARD
    runs.mkdir()
    python = tmp_path / AWKWARD / "python"
    python.write_text(PROGRAM)
    python.chmod(0o755)
    return Entry(runs, 2, str(python), {"PATH": "/slurm bin:/bin:/usr/bin", "VALUE": AWKWARD})


def run_line(line: str) -> subprocess.CompletedProcess[str]:
    """What cron does with a line: takes the time off, turns `\\%` into `%`, and starts sh."""
    command = line.split(maxsplit=5)[5]
    return run_shell(command.replace("\\%", "%"))


def run_shell(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", command],
        env={"HOME": "/", "PATH": "/usr/bin:/bin"},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def said(entry: Entry) -> str:
    fields = (
        entry.python,
        "-P -m launcher requeue --quiet",
        str(entry.runs),
        entry.env["PATH"],
        AWKWARD,
        "/",
    )
    return "|".join(fields) + "\nand an error\n"


def test_line_starts_a_quiet_pass_in_the_runs_folder_whatever_its_name(entry):
    (line,) = cron_lines(entry)

    done = run_line(line)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (entry.runs / "requeue.log").read_text() == said(entry)


def test_line_has_every_percent_sign_escaped(entry):
    (line,) = cron_lines(entry)

    assert line.replace("\\%", "").count("%") == 0
    assert "\\%" in line


def test_line_for_scrontab_starts_the_same_without_escapes(entry):
    *options, line = scron_lines(entry, ["--partition=cron"])

    done = run_shell(line.split(maxsplit=5)[5])

    assert options == [
        "#SCRON --job-name=launcher-requeue",
        "#SCRON --time=10",
        "#SCRON --output=/dev/null",
        "#SCRON --partition=cron",
    ]
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (entry.runs / "requeue.log").read_text() == said(entry)


def test_line_in_a_runs_folder_that_is_gone_says_so_to_cron_and_starts_nothing(entry):
    (line,) = cron_lines(entry)
    moved = entry.runs.with_name("moved")
    shutil.move(entry.runs, moved)

    done = run_line(line)

    assert done.returncode != 0
    assert "cd" in done.stderr
    assert not (moved / "requeue.log").exists()


def test_log_that_has_grown_is_put_aside_and_two_are_kept(entry):
    log = entry.runs / "requeue.log"
    (line,) = cron_lines(entry)
    log.write_bytes(b"x" * 2_100_000)
    (entry.runs / "requeue.log.old").write_text("older")

    run_line(line)
    run_line(line)

    assert log.read_text() == said(entry) * 2
    assert (entry.runs / "requeue.log.old").stat().st_size == 2_100_000


def test_pass_that_fails_tells_cron_its_exit_code_and_the_log_the_words(entry):
    Path(entry.python).write_text("#!/bin/sh\necho wrong >&2; exit 3\n")

    done = run_line(cron_lines(entry)[0])

    assert (done.returncode, done.stderr) == (3, "")
    assert (entry.runs / "requeue.log").read_text() == "wrong\n"


@pytest.mark.parametrize("every_min", EVERY_MIN)
def test_pause_is_written_as_cron_wants_it_and_read_back(tmp_path, every_min):
    lines = cron_lines(Entry(tmp_path, every_min, "/python", {}))

    expected = {1: "* * * * * ", 60: "0 * * * * "}.get(every_min, f"*/{every_min} * * * * ")
    assert lines[0].startswith(f"{expected}/bin/sh")
    assert every_min_of(lines) == every_min


def test_lines_that_slurm_has_switched_off_run_nothing(tmp_path):
    lines = scron_lines(Entry(tmp_path, 5, "/python", {}), [])

    assert every_min_of(lines) == 5
    assert every_min_of([f"#DISABLED: {line}" for line in lines]) is None


def test_line_longer_than_cron_takes_is_refused_with_another_way():
    entry = Entry(Path("/", "a" * 800), 2, "/python", {"LAUNCHER_RUNS": "a" * 800})

    with pytest.raises(UsageError, match=r"cron takes 998; .* --print --systemd"):
        cron_lines(entry)


@pytest.mark.parametrize("text", ["a\\b", "a\nb", "a\x1bb"])
def test_what_no_quoting_carries_through_cron_is_refused(text):
    with pytest.raises(UsageError, match=r"runs folder .* backslash or a control character"):
        Entry(Path("/", text), 2, "/python", {})
    with pytest.raises(UsageError, match=r"VALUE .* backslash or a control character"):
        Entry(Path("/"), 2, "/python", {"VALUE": text})


def test_systemd_gets_a_service_and_a_timer_with_its_own_escapes():
    entry = Entry(Path("/my 100% runs"), 5, "/env/$x/python", {"A": '1 "2" 3%', "B": "plain"})

    units = systemd_units(entry)

    service, timer = units
    assert timer == service.replace(".service", ".timer")
    assert units[service] == (
        "[Unit]\nDescription=launcher requeue in /my 100%% runs\n\n"
        "[Service]\nType=oneshot\nWorkingDirectory=/my 100%% runs\n"
        'Environment="A=1 \\"2\\" 3%%"\nEnvironment=B=plain\n'
        "ExecStart=/env/$$x/python -P -m launcher requeue --quiet\n"
    )
    assert "OnUnitActiveSec=5min\n" in units[timer]


def test_each_runs_folder_has_units_of_its_own():
    names = {name for path in "ab" for name in systemd_units(Entry(Path("/", path), 5, "/p", {}))}

    assert len(names) == 4


def slurm_programs(folder: Path) -> Path:
    folder.mkdir()
    for name in ("sbatch", "squeue", "sacct", "scontrol", "scancel"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return folder


def test_pass_gets_what_this_shell_has_of_slurm_and_of_the_launcher(tmp_path):
    slurm = slurm_programs(tmp_path / "slurm bin")
    environ = {
        "PATH": f"{slurm}:/home/me/bin",
        "SLURM_CONF": "/etc/slurm.conf",
        "XDG_CONFIG_HOME": "/home/me/config",
        "LAUNCHER_NOTIFY": "slack://secret",
        "SBATCH_ACCOUNT": "me",
        "OTHER": "no",
    }

    entry = make_entry(tmp_path, 2, environ, ledger="sqlite:////l.db", keep=["SBATCH_ACCOUNT"])

    assert entry.python == sys.executable
    assert {key: value for key, value in entry.env.items() if key != "PYTHONPATH"} == {
        "PATH": f"{slurm}:/usr/local/bin:/usr/bin:/bin",
        "LAUNCHER_RUNS": str(tmp_path),
        "LAUNCHER_LEDGER": "sqlite:////l.db",
        "SLURM_CONF": "/etc/slurm.conf",
        "XDG_CONFIG_HOME": "/home/me/config",
        "SBATCH_ACCOUNT": "me",
    }


def test_checkout_that_is_not_installed_is_put_on_pythons_path(tmp_path):
    """As another Python sees it: a copy of the launcher that no environment knows."""
    shutil.copytree(ROOT / "launcher", tmp_path / "launcher")
    script = (
        "import sys; from pathlib import Path; from launcher.cron.settings import make_entry\n"
        "print(make_entry(Path('/runs'), 2, {}).env['PYTHONPATH'])"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    assert (done.stdout, done.stderr) == (f"{tmp_path}\n", "")


@pytest.mark.parametrize("name", ["LAUNCHER_NOTIFY", "LAUNCHER_PING"])
def test_secret_is_not_kept_in_a_line(tmp_path, name):
    environ = {"HOME": "/home/me", name: "slack://s3cr3t"}

    with pytest.raises(UsageError, match=r"/home/me/\.config/launcher/env") as caught:
        make_entry(tmp_path, 2, environ, keep=[name])

    assert "s3cr3t" not in str(caught.value)


def test_variable_to_keep_that_is_not_set_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="--keep NOTHING: it is not set here"):
        make_entry(tmp_path, 2, {}, keep=["NOTHING"])


def test_options_of_sbatch_that_cron_would_lack_are_told_unless_they_are_kept():
    environ = {"SBATCH_QOS": "a", "SBATCH_ACCOUNT": "b", "SLURM_CONF": "c"}

    assert unkept_slurm_options(environ, ["SBATCH_QOS"]) == ["SBATCH_ACCOUNT"]


@pytest.mark.parametrize(
    ("url", "written"),
    [
        (None, None),
        ("sqlite:///ledger.db", "sqlite:///{here}/ledger.db"),
        ("sqlite:////abs/ledger.db", "sqlite:////abs/ledger.db"),
        ("postgresql+psycopg://me@host/runs", "postgresql+psycopg://me@host/runs"),
    ],
)
def test_ledger_is_written_so_that_it_means_the_same_in_every_folder(url, written):
    environ = {} if url is None else {"LAUNCHER_LEDGER": url}

    expected = None if written is None else written.format(here=Path.cwd())
    assert ledger_to_write(environ) == expected


@pytest.mark.parametrize(
    "url", ["postgresql://me:s3cr3t@host/runs", "postgresql://h/r?password=s3cr3t"]
)
def test_password_of_the_ledger_is_not_written_down(url):
    with pytest.raises(UsageError, match=r"~/\.pgpass") as caught:
        ledger_to_write({"LAUNCHER_LEDGER": url})

    assert "s3cr3t" not in str(caught.value)


def test_launcher_of_this_checkout_starts_as_cron_would_start_it(tmp_path):
    try_out(make_entry(tmp_path, 2, os.environ), os.environ)


def test_launcher_that_does_not_start_is_told_in_its_words(tmp_path):
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": "/nowhere"}
    entry = make_entry(tmp_path, 2, environ, keep=["PYTHONPATH"])
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'libpython3.so: not found' >&2; exit 127\n")
    broken.chmod(0o755)

    with pytest.raises(LauncherError, match=r"libpython3.so: not found; .* --keep NAME"):
        try_out(Entry(tmp_path, 2, str(broken), entry.env), environ)
