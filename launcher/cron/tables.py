"""The programs that keep a user's table: `crontab`, and Slurm's `scrontab`.

A table is changed only when it was read for certain: an answer that is not understood is an
error, never an empty table.
"""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from launcher.errors import ClusterError, LauncherError

_TIMEOUT_S: Final = 60
_EMPTY: Final = b"no crontab for"
"""What both programs say, with exit code 1, to a user who has none."""


@dataclass(frozen=True)
class Table:
    """The table of one program.

    Attributes:
        program: `crontab` or `scrontab`.
    """

    program: str

    @property
    def is_slurm(self) -> bool:
        """Whether Slurm keeps it, for the whole cluster; else it is this machine's."""
        return self.program == "scrontab"

    def read(self) -> bytes:
        """The user's table; empty where there is none.

        Raises:
            LauncherError: The program is missing, or refuses.
            ClusterError: The same, when it is Slurm's.
        """
        done = self._run(["-l"])
        if done.returncode == 0:
            return done.stdout
        if done.returncode == 1 and _EMPTY in done.stdout + done.stderr:
            return b""
        raise self._refused("cannot be read", done)

    def write(self, table: bytes) -> None:
        """Puts a table in the place of the user's, and makes sure of it.

        Raises:
            LauncherError: The program refuses it, or keeps another one than it was given.
            ClusterError: The same, when it is Slurm's.
        """
        if not table:
            done = self._run(["-r"])
        else:
            with tempfile.TemporaryDirectory(prefix="launcher-cron-") as folder:
                file = Path(folder, "table")
                file.write_bytes(table)
                done = self._run([str(file)])
        # scrontab ends with 0 also when it refused; what counts is what is there now.
        if done.returncode != 0 or self.read() != table:
            raise self._refused("is as it was; the new one was refused", done)

    def _run(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        env = {**os.environ, "LC_ALL": "C", "CRONTAB_NOHEADER": "Y"}
        try:
            return subprocess.run(
                [self.program, *arguments],
                input=b"n\n",  # scrontab's "retry the edit?", which else it asks for ever
                capture_output=True,
                env=env,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise self._error(f"did not answer within {_TIMEOUT_S} s; try again") from error
        except OSError as error:
            raise self._error(f"cannot be run: {error.strerror}; {self._others()}") from error

    def _refused(self, what: str, done: subprocess.CompletedProcess[bytes]) -> LauncherError:
        words = " ".join((done.stderr + b" " + done.stdout).decode(errors="replace").split())
        said = words or f"exit code {done.returncode}"
        return self._error(f"the table {what}: {said[:300]}; mend that, or {self._others()}")

    def _others(self) -> str:
        other = "without --scrontab" if self.is_slurm else "with --scrontab"
        return f"install {other}, or see: launcher cron install --print --systemd"

    def _error(self, said: str) -> LauncherError:
        kind = ClusterError if self.is_slurm else LauncherError
        return kind(f"{self.program}: {said}")
