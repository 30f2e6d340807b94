"""A real Slurm of 4 nodes x 8 GPUs on one machine, for tests and for playing by hand.

Runs as root. Everything lives in one folder, and each cluster has its own ports, so that several
stand side by side. `stop` ends every process by its pid and removes the folder; a cluster whose
test run was killed is swept away by the next one that starts.
"""

import contextlib
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.cluster.config import GPUS_PER_NODE, Config, free_ports, write_config
from tests.cluster.daemons import Daemons
from tests.cluster.errors import SlurmClusterError
from tests.cluster.folder import given_folder, remove_cluster, sweep_stale, temporary_folder
from tests.cluster.install import NODES, missing_hosts, missing_packages
from tests.cluster.processes import end_all, send


class SlurmCluster:
    """A Slurm cluster with partitions `preempt` (the default), `preemptcancel` and `high`.

    Args:
        folder: Where it lives; made by `start`, removed by `stop`. By default a temporary one
            that the next cluster sweeps away if this process is killed.
        accounting: Whether slurmdbd and MariaDB run, so that `sacct` answers.
        min_job_age_s: How long Slurm remembers a finished job.
    """

    def __init__(
        self, folder: Path | None = None, *, accounting: bool = True, min_job_age_s: int = 300
    ) -> None:
        self._given_folder = folder
        self._accounting = accounting
        self._min_job_age_s = min_job_age_s
        self._config: Config | None = None
        self._daemons: Daemons | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start every daemon and wait until all nodes are idle, about 10 s.

        Raises:
            SlurmClusterError: When it cannot start here, or a daemon does not come up; nothing
                of it is left then.
        """
        check_machine()
        sweep_stale()
        with contextlib.ExitStack() as undo:
            undo.callback(self.stop)
            self._config = self._make_config()
            write_config(self._config)
            self._daemons = daemons = Daemons(self._config)
            daemons.start_munge()
            if self._accounting:
                daemons.start_accounting()
            daemons.start_controller()
            for node in NODES:
                daemons.start_node(node)
            self.wait_until_idle()
            undo.pop_all()

    def _make_config(self) -> Config:
        folder = given_folder(self._given_folder) if self._given_folder else temporary_folder()
        # Seven digits at most: the folder's length counts on it.
        first_job_id = random.randrange(1_000, 1_000_000)
        age = self._min_job_age_s
        return Config(folder, free_ports(), self._accounting, age, first_job_id)

    def stop(self) -> None:
        """End every process of the cluster, jobs included, and remove its folder."""
        if self._config is not None:
            remove_cluster(self._config.folder)
        if self._daemons is not None:
            self._daemons.reap()
        self._config = self._daemons = None

    @property
    def folder(self) -> Path:
        """Where the cluster lives."""
        return self._running_config.folder

    @property
    def env(self) -> dict[str, str]:
        """What a process needs in its environment to talk to this cluster."""
        return {"SLURM_CONF": str(self._running_config.slurm_conf)}

    @property
    def _running_config(self) -> Config:
        if self._config is None:
            raise SlurmClusterError("the cluster does not run; call start() first")
        return self._config

    @property
    def _running(self) -> Daemons:
        if self._daemons is None:
            raise SlurmClusterError("the cluster does not run; call start() first")
        return self._daemons

    def run(self, *command: str, timeout_s: float = 60) -> str:
        """Run a command, such as squeue, on this cluster and give its standard output.

        Raises:
            SlurmClusterError: When it fails, with what it said.
        """
        return self._running.run(*command, timeout_s=timeout_s)

    def submit(self, *arguments: str) -> str:
        """Run sbatch with these arguments and give the Slurm id."""
        return self.run("sbatch", "--parsable", *arguments).strip()

    def state(self, slurm_id: str) -> str:
        """Give Slurm's word for what a job is, as long as slurmctld remembers it."""
        return self.run("squeue", "-h", "-t", "all", "-j", slurm_id, "-o", "%T").strip()

    def wait(
        self, condition: Callable[[], bool], what: str, limit_s: float = 60, every_s: float = 0.1
    ) -> None:
        """Wait until a condition holds; ask every `every_s`.

        Raises:
            SlurmClusterError: When it does not within `limit_s`, with the ends of the logs.
        """
        self._running.wait(condition, what, limit_s, every_s)

    def wait_for_state(self, slurm_id: str, *states: str, limit_s: float = 60) -> None:
        """Wait until a job is in one of these states."""
        what = f"job {slurm_id} is {' or '.join(states)}"
        self.wait(lambda: self.state(slurm_id) in states, what, limit_s)

    def wait_until_idle(self, limit_s: float = 60) -> None:
        """Wait until every node is up and runs no job."""
        idle = [f"{node} idle" for node in NODES]
        ask = ("sinfo", "-h", "-N", "-p", "preempt", "-o", "%N %T")
        self.wait(
            lambda: self.run(*ask).splitlines() == idle, f"{len(NODES)} nodes are idle", limit_s
        )

    def preempt(self, seconds: float) -> str:
        """Take every GPU for a job of higher priority that lasts `seconds`; give its Slurm id."""
        return self.submit(
            "--partition=high",
            f"--nodes={len(NODES)}",
            f"--gpus-per-node={GPUS_PER_NODE}",
            "--output=/dev/null",
            f"--wrap=sleep {seconds}",
        )

    def kill_node(self, name: str, *, keep_jobs: bool = False) -> None:
        """Cut a node's power: slurmd and every process of a job there are gone at once.

        Slurm notices after SlurmdTimeout, 30 s. With `keep_jobs` only slurmd dies: the tasks of
        a node that lost its network run on though Slurm gives the job up.
        """
        daemons = self._running
        end_all(lambda: daemons.find(f"slurmd-{name}"))
        if not keep_jobs:
            end_all(lambda: daemons.on_node(name))
        daemons.reap()

    def start_node(self, name: str) -> None:
        """Start the slurmd of a killed node again."""
        self._running.start_node(name)

    def stop_controller(self) -> None:
        """Shut slurmctld down: an outage."""
        self._running.shut_down("slurmctld")

    def start_controller(self) -> None:
        """Start slurmctld again, and wait until it listens."""
        self._running.start_controller()

    def hang_controller(self) -> None:
        """Freeze slurmctld: requests connect and get no answer."""
        send(self._running.find("slurmctld"), signal.SIGSTOP)

    def resume_controller(self) -> None:
        """Let a frozen slurmctld go on."""
        send(self._running.find("slurmctld"), signal.SIGCONT)


def check_machine() -> None:
    """Say in one line why no cluster can start here.

    Raises:
        SlurmClusterError: Without root, Slurm or the nodes' names.
    """
    missing = [*missing_packages(), *(f"the host name {name}" for name in missing_hosts())]
    if missing:
        raise SlurmClusterError(
            f"the test cluster lacks {', '.join(missing)}; run python -m tests.cluster.install"
        )
    if os.geteuid() != 0:
        raise SlurmClusterError("the test cluster runs as root only; try again as root")
