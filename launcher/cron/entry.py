"""What is to be run every few minutes, written for cron, for scrontab and for systemd.

Nothing of the user's shell is there when cron runs: no PATH to Slurm, no virtual environment, no
folder. So all of it stands in the line, absolute and quoted.
"""

import hashlib
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from launcher.errors import UsageError

EVERY_MIN: Final = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60)
"""The pauses that cron can keep evenly, in minutes: they divide an hour."""

LOG: Final = "requeue.log"
"""In the runs folder. Quiet passes write nothing; what does come in is cut off by renaming."""

LINE_MAX: Final = 998
"""Characters of a command that Debian's crontab takes (measured); others take more."""

_LOG_KB_MAX: Final = 2000
_SCRON: Final = ("--job-name=launcher-requeue", "--time=10", "--output=/dev/null")


@dataclass(frozen=True)
class Entry:
    """A pass over one ledger, again and again.

    Attributes:
        runs: The folder of runs, absolute.
        every_min: Minutes between two passes, one of `EVERY_MIN`.
        python: The environment's Python, absolute.
        env: The variables that a pass needs.
    """

    runs: Path
    every_min: int
    python: str
    env: Mapping[str, str]

    def __post_init__(self) -> None:
        """Refuses what no quoting carries through cron.

        Raises:
            UsageError: A path or value holds a line break or a backslash.
        """
        for what, text in {
            "runs folder": str(self.runs),
            "Python": self.python,
            **self.env,
        }.items():
            if not text.isprintable() or "\\" in text:
                raise UsageError(
                    f"{what} {text!r}: cron cannot be given a backslash or a control character; "
                    "use a path without"
                )


def shell_command(entry: Entry, arguments: Sequence[str]) -> str:
    """`launcher` with these arguments as a command of a POSIX shell in any environment."""
    # `-P`: a folder `launcher` in the runs folder is not ours.
    return shlex.join(
        ["env", *_assignments(entry), entry.python, "-P", "-m", "launcher", *arguments]
    )


def pass_command(entry: Entry) -> str:
    """One pass as a shell's command line: in the runs folder, what it says into the log."""
    return (
        f"cd {shlex.quote(str(entry.runs))} || exit; "
        f'[ "$(find {LOG} -size +{_LOG_KB_MAX}k 2>/dev/null)" ] && mv -f {LOG} {LOG}.old; '
        f"{shell_command(entry, ['requeue', '--quiet'])} >>{LOG} 2>&1"
    )


def cron_lines(entry: Entry) -> list[str]:
    """The line for a crontab.

    Raises:
        UsageError: It is longer than cron takes.
    """
    # In a shell of its own: the crontab may set SHELL to one of another language. cron takes a
    # bare % for the end of the line.
    command = f"/bin/sh -c {shlex.quote(pass_command(entry))}".replace("%", "\\%")
    if len(os.fsencode(command)) > LINE_MAX:
        raise UsageError(
            f"the line for cron would have {len(os.fsencode(command))} characters, and cron takes "
            f"{LINE_MAX}; use shorter paths, or see: launcher cron install --print --systemd"
        )
    return [f"{_schedule(entry.every_min)} {command}"]


def scron_lines(entry: Entry, options: Sequence[str]) -> list[str]:
    """The lines for a scrontab, where a pass is a small job; a % means nothing there.

    Args:
        entry: What to run.
        options: More of sbatch's, such as `--partition=cron`; later ones win.
    """
    wanted = [f"#SCRON {option}" for option in (*_SCRON, *options)]
    return [*wanted, f"{_schedule(entry.every_min)} {pass_command(entry)}"]


def systemd_units(entry: Entry) -> dict[str, str]:
    """A service and its timer for `systemctl --user`, by file name."""
    name = f"launcher-requeue-{hashlib.sha256(os.fsencode(entry.runs)).hexdigest()[:8]}"
    environment = "".join(f"Environment={_for_systemd(pair)}\n" for pair in _assignments(entry))
    arguments = [entry.python, "-P", "-m", "launcher", "requeue", "--quiet"]
    command = " ".join(_for_systemd(argument).replace("$", "$$") for argument in arguments)
    runs = str(entry.runs).replace("%", "%%")
    service = (
        f"[Unit]\nDescription=launcher requeue in {runs}\n\n"
        f"[Service]\nType=oneshot\nWorkingDirectory={runs}\n{environment}ExecStart={command}\n"
    )
    timer = (
        f"[Unit]\nDescription=launcher requeue in {runs}, every {entry.every_min} min\n\n"
        f"[Timer]\nOnActiveSec=0\nOnUnitActiveSec={entry.every_min}min\nAccuracySec=5s\n\n"
        "[Install]\nWantedBy=timers.target\n"
    )
    return {f"{name}.service": service, f"{name}.timer": timer}


def every_min_of(lines: Sequence[str]) -> int | None:
    """Minutes between two passes, read back from lines of ours; None where nothing is run."""
    for line in lines:
        for minutes in EVERY_MIN:
            if line.startswith(f"{_schedule(minutes)} "):
                return minutes
    return None


def _schedule(every_min: int) -> str:
    minute = {1: "*", 60: "0"}.get(every_min, f"*/{every_min}")
    return f"{minute} * * * *"


def _assignments(entry: Entry) -> list[str]:
    return [f"{name}={value}" for name, value in entry.env.items()]


def _for_systemd(text: str) -> str:
    """One word of a unit file, quoted where it needs it; % begins a specifier there."""
    escaped = text.replace("%", "%%").replace('"', '\\"')
    return escaped if escaped.isascii() and not set(escaped) & set(" '\"\\;") else f'"{escaped}"'
