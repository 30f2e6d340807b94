"""Finds out what a pass needs that cron does not give it, and tries it out."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import launcher
from launcher.cron.entry import Entry, shell_command
from launcher.errors import LauncherError, UsageError
from launcher.notify import NOTIFY, PING, environment_file

CARRIED: Final = ("SLURM_CONF", "XDG_CONFIG_HOME")
"""Variables that are written into the line where they are set: where Slurm is, and our file."""

TRIAL: Final = ("requeue", "--help")
"""Loads what a pass loads, and does nothing."""

_PROGRAMS: Final = ("sbatch", "squeue", "sacct", "scontrol", "scancel")
_SYSTEM_PATH: Final = ("/usr/local/bin", "/usr/bin", "/bin")
_TIMEOUT_S: Final = 60
_SECRET: Final = (NOTIFY, PING)


def make_entry(
    runs: Path,
    every_min: int,
    environ: Mapping[str, str],
    *,
    ledger: str | None = None,
    keep: Sequence[str] = (),
) -> Entry:
    """A pass over a runs folder, with all that this shell has and cron has not.

    Args:
        runs: The folder, absolute.
        every_min: Minutes between two passes.
        environ: This shell's.
        ledger: `LAUNCHER_LEDGER`, where it is to be written down.
        keep: More variables to write down.

    Raises:
        UsageError: A variable to keep is not set or is a secret, or a path cannot be quoted.
    """
    env = {"PATH": os.pathsep.join(_path(environ)), "LAUNCHER_RUNS": str(runs)}
    if ledger is not None:
        env["LAUNCHER_LEDGER"] = ledger
    env |= {name: environ[name] for name in CARRIED if environ.get(name)}
    env |= {name: _kept(name, environ) for name in keep}
    if "PYTHONPATH" not in env and not _is_installed(environ):
        env["PYTHONPATH"] = str(_root())
    return Entry(runs, every_min, sys.executable, env)


def ledger_to_write(environ: Mapping[str, str]) -> str | None:
    """`LAUNCHER_LEDGER` as it may be written down, the same from every folder; None if unset.

    Raises:
        UsageError: It holds a password.
    """
    from sqlalchemy import make_url  # noqa: PLC0415 - heavy, and not for `show`

    given = environ.get("LAUNCHER_LEDGER")
    if not given:
        return None
    url = make_url(given)
    if url.password is not None or any("pass" in name.lower() for name in url.query):
        raise UsageError(
            "LAUNCHER_LEDGER: it holds a password, which does not belong into a crontab; leave it "
            "out of the URL and write it into ~/.pgpass"
        )
    if url.get_backend_name() == "sqlite" and url.database:
        url = url.set(database=str(Path(url.database).absolute()))
    return url.render_as_string()


def try_out(entry: Entry, environ: Mapping[str, str]) -> None:
    """Starts the launcher as cron would.

    Raises:
        LauncherError: It does not start, or cannot write its log.
    """
    if not os.access(entry.runs, os.W_OK):
        raise LauncherError(f"{entry.runs}: no log can be written there; mend its permissions")
    command = ["/bin/sh", "-c", shell_command(entry, TRIAL)]
    done = _run(command, environ, "the launcher")
    if done.returncode != 0:
        words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise LauncherError(
            f"the launcher does not start from cron's empty environment: {words[-1][:300]}; if a "
            "variable of this shell is missing there, add --keep NAME (such as LD_LIBRARY_PATH)"
        )


def unkept_slurm_options(environ: Mapping[str, str], keep: Sequence[str]) -> list[str]:
    """Variables that change what sbatch does in this shell, and will not be there under cron."""
    return sorted(name for name in environ if name.startswith("SBATCH_") and name not in keep)


def has_slurm(environ: Mapping[str, str]) -> bool:
    """Whether Slurm's programs are found from here."""
    return shutil.which("sbatch", path=environ.get("PATH")) is not None


def _kept(name: str, environ: Mapping[str, str]) -> str:
    if name in _SECRET:
        raise UsageError(
            f"--keep {name}: it holds a secret, which does not belong into a crontab; write it "
            f"into {environment_file(environ)} (mode 600)"
        )
    if name not in environ:
        raise UsageError(f"--keep {name}: it is not set here; set it first")
    return environ[name]


def _path(environ: Mapping[str, str]) -> list[str]:
    """The folders of Slurm's programs as this shell finds them, then the system's."""
    found = [shutil.which(program, path=environ.get("PATH")) for program in _PROGRAMS]
    folders = [str(Path(program).absolute().parent) for program in found if program]
    return list(dict.fromkeys([*folders, *_SYSTEM_PATH]))


def _root() -> Path:
    return Path(launcher.__file__).absolute().parents[1]


def _is_installed(environ: Mapping[str, str]) -> bool:
    """Whether this Python finds this launcher by itself, wherever it is started."""
    code = "import launcher; print(launcher.__file__)"
    done = _run([sys.executable, "-P", "-c", code], environ, "Python")
    return done.stdout.rstrip("\n") == launcher.__file__


def _run(
    command: Sequence[str], environ: Mapping[str, str], what: str
) -> subprocess.CompletedProcess[str]:
    """Runs a command with the variables that cron sets, in the root folder."""
    env = {name: environ[name] for name in ("HOME", "LOGNAME") if name in environ}
    env |= {"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"}
    try:
        return subprocess.run(
            command,
            env=env,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LauncherError(f"{what} did not start within {_TIMEOUT_S} s; try again") from error
