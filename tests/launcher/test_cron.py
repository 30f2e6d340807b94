"""`launcher cron` as a user types it, with programs on PATH that keep a table in a file.

The real crontab and the real daemon are in tests/cluster/test_cron_fires.py.
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from db.ledger import Ledger
from db.passes import add_pass
from db.schema import Pass
from launcher.cron.blocks import block_of, folders
from tests.launcher.listening import listening

ROOT = Path(__file__).parents[2]
CRONTAB = """\
#!/bin/sh
# What Debian's says and does (3.0pl1).
table={table}
if [ -e {table}.denied ]; then
  echo "You (me) are not allowed to use this program (crontab)" >&2; exit 1
fi
case "$1" in
  -l) [ -e "$table" ] || {{ echo "no crontab for me" >&2; exit 1; }}; cat "$table" ;;
  -r) rm "$table" ;;
  *)
    if [ -e {table}.broken ]; then
      echo '"-":3: bad minute' >&2; echo "errors in crontab file, can't install." >&2; exit 1
    fi
    cat "$1" > "$table" ;;
esac
"""
SCRONTAB = """\
#!/bin/sh
# What Slurm's says and does (src/scrontab/scrontab.c): its complaints are on stdout, and when it
# is told not to retry it ends with 0.
table={table}
if [ -e {table}.denied ]; then
  echo "scrontab: fatal: scrontab is disabled on this cluster" >&2; exit 1
fi
case "$1" in
  -l) [ -e "$table" ] || {{ echo "no crontab for me"; exit 1; }}; cat "$table" ;;
  -r) rm "$table" ;;
  *)
    if [ -e {table}.broken ]; then
      echo "The error code return was: Invalid partition name specified"
      while read -r answer; do [ "$answer" = n ] && exit 0; done
      sleep 600
    fi
    cat "$1" > "$table" ;;
esac
"""


@dataclass(frozen=True)
class Site:
    """A login node with a crontab and a scrontab."""

    home: Path

    @property
    def runs(self) -> Path:
        return self.home / "my runs"

    @property
    def crontab(self) -> Path:
        return self.home / "crontab.table"

    @property
    def scrontab(self) -> Path:
        return self.home / "scrontab.table"

    def __call__(self, *args: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """`launcher cron` with these arguments."""
        env = {
            "HOME": str(self.home),
            "LOGNAME": "me",
            "PATH": f"{self.home / 'bin'}:/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "LAUNCHER_RUNS": str(self.runs),
        }
        return subprocess.run(
            [sys.executable, "-m", "launcher", "cron", *args],
            cwd=self.home,
            env=env | extra,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def good(self, *args: str, **extra: str) -> str:
        """What it prints when all is well."""
        done = self(*args, **extra)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def add_pass(self, ended_at: float, *, degraded: bool = False) -> None:
        ledger = Ledger.open(f"sqlite:///{self.runs / 'ledger.db'}", create=False)
        row = Pass(
            started_at=ended_at - 1,
            ended_at=ended_at,
            degraded=degraded,
            queries=2,
            did=[],
            host="login1",
            pid=17,
        )
        with ledger.write() as session:
            add_pass(session, row)


def program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def site(tmp_path) -> Site:
    site = Site(tmp_path)
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin" / "crontab", CRONTAB.format(table=site.crontab))
    program(tmp_path / "bin" / "scrontab", SCRONTAB.format(table=site.scrontab))
    Ledger.open(f"sqlite:///{site.runs / 'ledger.db'}", create=True)
    return site


def test_install_adds_one_line_behind_those_that_are_there(site):
    theirs = b"MAILTO=me\n0 3 * * * /home/me/backup 100\\% \xff\n"
    site.crontab.write_bytes(theirs)

    said = site.good("install", "--every", "5m")

    table = site.crontab.read_bytes()
    (line,) = block_of(table, site.runs)
    assert table.startswith(theirs)
    assert line.startswith("*/5 * * * * /bin/sh -c ")
    assert said.startswith("installed in ")
    assert said.endswith(f": a pass over {site.runs} every 5 min\n")


def test_install_again_changes_nothing_and_says_so(site):
    site.good("install")
    table = site.crontab.read_bytes()

    said = site.good("install")

    assert said.startswith("installed already in ")
    assert site.crontab.read_bytes() == table


def test_ledgers_are_installed_side_by_side_and_removed_one_by_one(site):
    other = site.home / "other"
    Ledger.open(f"sqlite:///{other / 'ledger.db'}", create=True)
    site.good("install")
    alone = site.crontab.read_bytes()

    site.good("install", "--runs", "other")

    assert folders(site.crontab.read_bytes()) == [site.runs, other]
    site.good("remove", "--runs", "other")
    assert site.crontab.read_bytes() == alone


def test_remove_takes_ours_only_and_needs_no_ledger(site):
    theirs = b"0 3 * * * /home/me/backup\n"
    site.crontab.write_bytes(theirs)
    site.good("install")
    (site.runs / "ledger.db").unlink()

    said = site.good("remove")

    assert said.startswith("removed from ")
    assert site.crontab.read_bytes() == theirs


def test_remove_of_the_only_lines_leaves_no_crontab(site):
    site.good("install")

    site.good("remove")

    assert not site.crontab.exists()


def test_remove_where_nothing_is_says_so(site):
    assert site.good("remove").startswith("nothing was installed in ")


def test_table_that_cannot_be_read_is_never_taken_for_an_empty_one(site):
    site.crontab.write_bytes(b"0 3 * * * /home/me/backup\n")
    Path(f"{site.crontab}.denied").touch()

    done = site("install")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: crontab: the table cannot be read: You (me) are not allowed to use this program "
        "(crontab); mend that, or install with --scrontab, or see: "
        "launcher cron install --print --systemd\n"
    )
    assert site.crontab.read_bytes() == b"0 3 * * * /home/me/backup\n"


def test_refused_table_is_an_error_in_crons_words(site):
    Path(f"{site.crontab}.broken").touch()

    done = site("install")

    assert done.returncode == 1
    assert 'the new one was refused: "-":3: bad minute errors in crontab file' in done.stderr


def test_machine_without_crontab_is_an_error_that_names_the_other_ways(site):
    (site.home / "bin" / "crontab").unlink()

    done = site("install", PATH=str(site.home / "bin"))

    assert done.returncode == 1
    assert done.stderr == (
        "error: crontab: cannot be run: No such file or directory; install with --scrontab, "
        "or see: launcher cron install --print --systemd\n"
    )


def test_scrontab_gets_a_small_job_with_the_sites_options(site):
    said = site.good("install", "--scrontab", "--scron=--qos=cron")

    lines = block_of(site.scrontab.read_bytes(), site.runs)
    assert lines[-2] == "#SCRON --qos=cron"
    assert lines[-1].startswith("*/2 * * * * cd ")
    assert "scrontab: a pass over" in said
    assert not site.crontab.exists()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("denied", "scrontab: the table cannot be read: scrontab: fatal: scrontab is disabled"),
        ("broken", "the new one was refused: The error code return was: Invalid partition name"),
    ],
)
def test_refusal_of_scrontab_is_slurms_and_ends_with_3(site, fault, words):
    Path(f"{site.scrontab}.{fault}").touch()

    done = site("install", "--scrontab")

    assert (done.returncode, done.stdout) == (3, "")
    assert words in done.stderr


def test_install_without_a_ledger_is_refused_and_nothing_is_written(site):
    (site.runs / "ledger.db").unlink()

    done = site("install")

    assert done.returncode == 4
    assert "there is no ledger here; submit a run first" in done.stderr
    assert not site.crontab.exists()


def test_print_shows_the_lines_and_changes_nothing(site):
    printed = site.good("install", "--print")

    assert not site.crontab.exists()
    site.good("install")
    assert site.crontab.read_text() == printed


def test_print_for_systemd_names_the_files_and_what_to_type(site):
    done = site("install", "--print", "--systemd")

    assert done.returncode == 0
    assert done.stdout.startswith("# ~/.config/systemd/user/launcher-requeue-")
    assert f"WorkingDirectory={site.runs}\n" in done.stdout
    assert "systemctl --user enable --now launcher-requeue-" in done.stderr
    assert not site.crontab.exists()


def test_secrets_of_this_shell_are_in_no_line_and_no_word(site):
    secrets = {"LAUNCHER_NOTIFY": "slack://s3cr3t", "LAUNCHER_PING": "https://x/s3cr3t"}

    for more in ([], ["--print"], ["--print", "--systemd"], ["--scrontab"]):
        done = site("install", *more, **secrets)

        assert done.returncode == 0, done.stderr
        assert "s3cr3t" not in done.stdout + done.stderr
    assert b"s3cr3t" not in site.crontab.read_bytes() + site.scrontab.read_bytes()


def test_options_of_sbatch_that_cron_lacks_are_a_warning_until_they_are_kept(site):
    told = site("install", SBATCH_ACCOUNT="lab").stderr
    kept = site("install", "--keep", "SBATCH_ACCOUNT", SBATCH_ACCOUNT="lab").stderr

    assert "add --keep SBATCH_ACCOUNT" in told
    assert "add --keep" not in kept
    assert b"SBATCH_ACCOUNT=lab" in site.crontab.read_bytes()


def test_show_tells_the_line_and_that_no_pass_was_yet(site):
    site.good("install")

    done = site("show")

    (line,) = block_of(site.crontab.read_bytes(), site.runs)
    assert f"a pass over {site.runs} every 2 min\n  {line}\nno good pass yet\n" in done.stdout
    assert "one is due within 2 min; if none comes, look into" in done.stderr


def test_show_tells_when_the_last_good_pass_was(site):
    site.good("install")
    site.add_pass(time.time() - 300)
    site.add_pass(time.time(), degraded=True)

    done = site("show")

    assert "5 min ago, on login1\n" in done.stdout
    assert "was due" not in done.stderr


def test_show_warns_when_another_good_pass_was_due(site):
    site.good("install")
    site.add_pass(time.time() - 500)

    done = site("show")

    assert f"another good pass was due; look into {site.runs / 'requeue.log'}" in done.stderr


def test_show_says_what_is_installed_nowhere_and_what_is_there_of_others(site):
    site.good("install")

    done = site("show", "--runs", "elsewhere")

    assert f"nothing is installed here for {site.home / 'elsewhere'}\n" in done.stdout
    assert "type: launcher cron install\n" in done.stderr
    assert f"there is also a line for {site.runs}\n" in done.stderr


def test_show_tells_a_line_that_slurm_has_switched_off(site):
    site.good("install", "--scrontab")
    text = site.scrontab.read_text()
    site.scrontab.write_text(
        text.replace("#SCRON", "#DISABLED: #SCRON").replace("\n*/2", "\n#DISABLED: */2")
    )

    done = site("show")

    assert f"a pass over {site.runs} never\n" in done.stdout
    assert "is switched off; type: launcher cron install" in done.stderr
    site.good("install", "--scrontab")
    assert site.scrontab.read_text() == text


def test_show_prints_json(site):
    site.good("install")
    ended_at = time.time() - 500
    site.add_pass(ended_at)

    found = json.loads(site.good("show", "--json"))

    where = found["installed"][0].pop("where")
    assert "crontab on " in where
    assert found == {
        "runs": str(site.runs),
        "installed": [{"every_min": 2, "lines": block_of(site.crontab.read_bytes(), site.runs)}],
        "last_good_pass": {"ended_at": ended_at, "host": "login1", "pid": 17},
        "late": True,
        "problems": [],
    }


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (
            ["install", "--every", "7m"],
            "argument --every: 7m: cron can keep 1m, 2m, 3m, 4m, 5m, 6m, 10m, 12m, 15m, 20m, "
            "30m, 60m",
        ),
        (["install", "--every", "90s"], "argument --every: 90s: cron can keep 1m"),
        (["install", "--every", "soon"], "argument --every: 'soon' is not a duration"),
        (["install", "--systemd"], "--systemd: nothing is installed, only printed; add --print"),
        (["remove", "--print"], "--print: it goes with install"),
        (["install", "--keep", "LAUNCHER_PING"], "--keep LAUNCHER_PING: it holds a secret"),
    ],
)
def test_wrong_usage_ends_with_2_and_changes_nothing(site, args, error):
    done = site(*args)

    assert (done.returncode, done.stdout) == (2, "")
    assert error in done.stderr
    assert not site.crontab.exists()


def run_line(site: Site) -> subprocess.CompletedProcess[str]:
    """What cron does with the installed line, in the environment that it gives."""
    (line,) = block_of(site.crontab.read_bytes(), site.runs)
    return subprocess.run(
        ["/bin/sh", "-c", line.split(maxsplit=5)[5].replace("\\%", "%")],
        env={"HOME": str(site.home), "LOGNAME": "me", "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_pass_of_the_installed_line_runs_on_the_ledger_and_says_nothing(site):
    site.good("install")

    done = run_line(site)

    log = (site.runs / "requeue.log").read_text()
    assert (done.returncode, done.stdout, done.stderr, log) == (0, "", "", "")
    assert "0 min ago, on " in site.good("show")


def test_pass_of_the_installed_line_knows_the_addresses_in_the_private_file(site):
    private = site.home / "config" / "launcher" / "env"
    private.parent.mkdir(parents=True)
    site.good("install", XDG_CONFIG_HOME=str(site.home / "config"))
    with listening() as server:
        private.write_text(f"LAUNCHER_PING={server.url('/uuid', 'http')}\n")
        private.chmod(0o600)

        run_line(site)

    assert server.gets == ["/uuid"]
    assert (site.runs / "requeue.log").read_text() == ""
