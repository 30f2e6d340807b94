"""A real PostgreSQL of a test process: its files lie in a folder of their own and go with it.

with PostgreSQL() as server:
    url = server.new_database()
"""

import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import psycopg

from tests.install import program

NOBODY = "nobody"
"""Who runs it where the tests run as root, whom it refuses."""
PATIENCE_S = 60.0
OFF = ("fsync", "full_page_writes", "synchronous_commit")
"""What keeps data when the power fails: nothing here outlives a test."""


class PostgreSQL:
    """A server on a port of this machine, open to whoever connects."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
        self._numbers = itertools.count(1)
        self._server: subprocess.Popen[bytes] | None = None
        self.port = _free_port()

    def __enter__(self) -> Self:
        user = NOBODY if os.geteuid() == 0 else None
        if user is not None:
            os.chown(self._folder, pwd.getpwnam(user).pw_uid, -1)
        data, log = self._folder / "data", self._folder / "log"
        subprocess.run(
            [_path("initdb"), "-D", data, "-A", "trust", "-U", "lab", "-N", "--locale=C.UTF-8"],
            check=True, capture_output=True, user=user, cwd="/",
        )  # fmt: skip
        settings = [f"--{name}=off" for name in OFF]
        places = ["-D", str(data), "-k", str(self._folder), "-p", str(self.port)]
        with log.open("wb") as out:
            self._server = subprocess.Popen(
                [_path("postgres"), *places, *settings], stdout=out, stderr=out, user=user, cwd="/"
            )
        give_up = time.monotonic() + PATIENCE_S
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(log.read_text())
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.wait()
        shutil.rmtree(self._folder)

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"ledger{next(self._numbers)}"
        with psycopg.connect(self._place("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql+psycopg://lab@127.0.0.1:{self.port}/{name}"

    def drop(self, url: str) -> None:
        """Removes a database, whoever is still connected."""
        name = url.rpartition("/")[2]
        with psycopg.connect(self._place("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._place("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _place(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user=lab dbname={database}"


def _path(name: str) -> str:
    found = program(name)
    if found is None:
        raise FileNotFoundError(f"{name}: install it with `python -m tests.install`")
    return found


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
