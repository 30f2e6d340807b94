"""The daemons of one cluster: how each is started, and when it is ready."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.cluster.config import CLUSTER_NAME, Config
from tests.cluster.errors import SlurmClusterError
from tests.cluster.install import SEARCH_PATH
from tests.cluster.processes import Process, processes_of, reap, send, spawn, start_ticks

LOG_TAIL_LINES = 8
READY_S = 60


class Daemons:
    """Starts, finds and waits for the daemons of one cluster."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._log = config.folder / "log"
        self._spawned: list[int] = []

    def start_munge(self) -> None:
        """Start munged, which signs every message of Slurm."""
        folder, munge_socket = self._config.folder, self._config.munge_socket
        self._start(
            "munged",
            [
                "munged",
                "--foreground",
                "--force",  # munged minds who else may write to a parent folder
                f"--key-file={folder}/munge.key",
                f"--socket={munge_socket}",
                f"--pid-file={folder}/munged.pid",
                f"--log-file={folder}/log/munged-file.log",
                f"--seed-file={folder}/munge.seed",
            ],
            ready=munge_socket.exists,
        )

    def start_accounting(self) -> None:
        """Start MariaDB and slurmdbd, and tell it of the cluster."""
        mysql_socket, port = self._config.mysql_socket, self._config.database_port
        data = ["--no-defaults", "--user=root", f"--datadir={self._config.folder}/mysql"]
        login = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        self.run("mariadb-install-db", *data, *login)
        self._start(
            "mariadbd",
            [
                "mariadbd",
                *data,
                f"--socket={mysql_socket}",
                f"--pid-file={self._config.folder}/mariadbd.pid",
                "--skip-networking",
                "--innodb-buffer-pool-size=64M",
                "--innodb-flush-log-at-trx-commit=0",
            ],
            ready=mysql_socket.exists,
        )
        self._start("slurmdbd", ["slurmdbd", "-D"], ready=lambda: _listens(port))
        self.run("sacctmgr", "-i", "add", "cluster", CLUSTER_NAME)

    def start_controller(self) -> None:
        """Start slurmctld, and wait until it listens."""
        port = self._config.controller_port
        self._start("slurmctld", ["slurmctld", "-D"], ready=lambda: _listens(port))

    def start_node(self, name: str) -> None:
        """Start the slurmd of a node, and wait until it listens."""
        port = self._config.node_port(name)
        self._start(f"slurmd-{name}", ["slurmd", "-D", "-N", name], ready=lambda: _listens(port))

    def _start(self, daemon: str, command: list[str], ready: Callable[[], bool]) -> None:
        pid = spawn(daemon, command, self.env, self._log / f"{daemon}.log")
        self._spawned.append(pid)
        self.wait(lambda: ready() or start_ticks(pid) is None, f"{daemon} is ready")
        if start_ticks(pid) is None:
            raise SlurmClusterError(f"{daemon} ended instead of starting:\n{self._log_tails()}")

    @property
    def env(self) -> dict[str, str]:
        """The environment of the daemons and of the commands run here."""
        # MYSQL_UNIX_PORT: slurmdbd.conf has no setting for a socket.
        return {
            "MYSQL_UNIX_PORT": str(self._config.mysql_socket),
            "SLURM_CONF": str(self._config.slurm_conf),
        }

    def find(self, daemon: str) -> list[Process]:
        """Give the process of a daemon without its children; none when it does not run."""
        program = daemon.partition("-")[0]
        return [
            process
            for process in processes_of(self._config.slurm_conf)
            if process.daemon == daemon and process.name == program
        ]

    def on_node(self, name: str) -> list[Process]:
        """Give the slurmd of a node, its slurmstepds and the job processes there."""
        return [
            process
            for process in processes_of(self._config.slurm_conf)
            if process.daemon == f"slurmd-{name}" or process.node == name
        ]

    def shut_down(self, daemon: str) -> None:
        """Ask a daemon to end, and wait until it is gone."""
        send(self.find(daemon), signal.SIGTERM)
        self.wait(lambda: not self.find(daemon), f"{daemon} is gone")
        self.reap()

    def reap(self) -> None:
        """Leave no zombie of a daemon that has ended."""
        reap(self._spawned)

    def run(self, *command: str, timeout_s: float = 60) -> str:
        """Run a command on this cluster and give its standard output.

        Raises:
            SlurmClusterError: When it fails, with what it said.
        """
        try:
            done = subprocess.run(
                command,
                env={**os.environ, "PATH": SEARCH_PATH, **self.env},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SlurmClusterError(f"{error}\n{self._log_tails()}") from error
        if done.returncode != 0:
            raise SlurmClusterError(
                f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}"
            )
        return done.stdout

    def wait(
        self,
        condition: Callable[[], bool],
        what: str,
        limit_s: float = READY_S,
        every_s: float = 0.1,
    ) -> None:
        """Wait until a condition holds; ask every `every_s`.

        Raises:
            SlurmClusterError: When it does not within `limit_s`, with the ends of the logs.
        """
        deadline = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > deadline:
                raise SlurmClusterError(
                    f"waited {limit_s:g} s in vain until {what}:\n{self._log_tails()}"
                )
            time.sleep(every_s)

    def _log_tails(self) -> str:
        return "\n".join(_tail(path) for path in sorted(self._log.iterdir()))


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _tail(path: Path) -> str:
    lines = path.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    return "\n".join([f"== {path.name}", *lines])
