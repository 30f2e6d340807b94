"""What cron's empty environment lacks: a file of variables that only its owner can read.

    # ~/.config/launcher/env, mode 600
    TEAM_CHAT=slack://token/#training
    LAUNCHER_PING="https://hc-ping.com/..."

One `NAME=VALUE` a line; `export` before it, and one pair of quotes around the value, are taken
off. Nothing else is: no escapes, no `$NAME`, and a `#` is a comment only at a line's start.
"""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

_LINE: Final = re.compile(r"(?:export\s+)?([A-Za-z_]\w*)=([^\0]*)", re.ASCII)
_QUOTES: Final = "'\""


class Environment(NamedTuple):
    """Variables, and what was wrong with the file that they come from in part.

    Attributes:
        values: The variables; what the process was given goes before the file.
        warnings: One sentence each; no value stands in one.
    """

    values: Mapping[str, str]
    warnings: list[str]


def environment_file(environ: Mapping[str, str]) -> Path:
    """Where the file lies: `launcher/env` in `$XDG_CONFIG_HOME`, which is `~/.config` if unset."""
    config = Path(environ.get("XDG_CONFIG_HOME", ""))
    if not config.is_absolute():  # as the standard wants it: a relative one is ignored
        config = Path(environ.get("HOME") or Path.home()) / ".config"
    return config / "launcher" / "env"


def load_environment(environ: Mapping[str, str]) -> Environment:
    """The variables of a process over those of the file; a missing file is no fault.

    A file that others than its owner may read or write is not used, and a warning says so.
    """
    path = environment_file(environ)
    try:
        text, refused = _read_private(path)
    except FileNotFoundError:
        return Environment(dict(environ), [])
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        return Environment(dict(environ), [f"{path}: not used: {reason}; mend or remove it"])
    if refused:
        return Environment(dict(environ), [f"{path}: not used: {refused}"])
    found, warnings = _parse(path, text)
    return Environment({**found, **environ}, warnings)


def _read_private(path: Path) -> tuple[str, str]:
    """The text, or why it must not be used. Looks at the open file: a path may change meanwhile."""
    with path.open(encoding="utf-8") as file:
        found = os.fstat(file.fileno())
        if found.st_uid not in (os.geteuid(), 0):
            return "", f"it belongs to user {found.st_uid}; make it your own"
        if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            mode = stat.S_IMODE(found.st_mode)
            return "", f"others can read or change it (mode {mode:o}); type: chmod 600 {path}"
        return file.read(), ""


def _parse(path: Path, text: str) -> tuple[dict[str, str], list[str]]:
    found: dict[str, str] = {}
    warnings: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        value = _unquoted(match[2].strip()) if match else None
        if match is None or value is None:
            # What is wrong is not shown: it may be half of a password.
            warnings.append(f"{path}:{number}: not used: write NAME=VALUE or NAME='VALUE'")
        else:
            found[match[1]] = value
    return found, warnings


def _unquoted(value: str) -> str | None:
    """The value without its quotes; None where they do not match."""
    if not value or (value[0] not in _QUOTES and value[-1] not in _QUOTES):
        return value
    is_pair = len(value) > 1 and value[0] == value[-1]
    return value[1:-1] if is_pair else None
