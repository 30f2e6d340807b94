"""The files of a test cluster: `slurm.conf`, `gres.conf`, `slurmdbd.conf`, munge's key, the GPUs.

4 nodes x 8 GPUs on one machine. The GPUs are character devices of the cluster's own: with a
bare `Count=` in `gres.conf` the nodes drain, "gres/gpu count reported lower than configured".
"""

import os
import random
import secrets
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.errors import SlurmClusterError
from tests.cluster.install import NODES

GPUS_PER_NODE = 8
CLUSTER_NAME = "test"
# Below the range that the kernel hands to outgoing connections: a port stays free for the
# restart of its daemon. And below those at which the ranks of a job meet (jobs/distributed).
PORT_RANGE = range(17_000, 20_000)


@dataclass(frozen=True)
class Config:
    """Where a cluster lives and what differs between two clusters.

    Attributes:
        folder: Holds everything: files, sockets, logs, spool, database.
        ports: One for slurmctld, one for slurmdbd, then one a node.
        accounting: Whether slurmdbd and MariaDB keep what `sacct` reads.
        min_job_age_s: How long slurmctld remembers a finished job.
        first_job_id: The Slurm id of its first job.
    """

    folder: Path
    ports: tuple[int, ...]
    accounting: bool
    min_job_age_s: int
    first_job_id: int

    @property
    def slurm_conf(self) -> Path:
        """What `SLURM_CONF` points at."""
        return self.folder / "slurm.conf"

    @property
    def munge_socket(self) -> Path:
        """Where munged answers."""
        return self.folder / "munge.sock"

    @property
    def mysql_socket(self) -> Path:
        """Where MariaDB answers; it has no port."""
        return self.folder / "mysql.sock"

    @property
    def controller_port(self) -> int:
        """slurmctld's."""
        return self.ports[0]

    @property
    def database_port(self) -> int:
        """slurmdbd's."""
        return self.ports[1]

    def node_port(self, node: str) -> int:
        """Give the port of a node's slurmd."""
        return self.ports[2 + NODES.index(node)]


def free_ports() -> tuple[int, ...]:
    """Pick ports that nobody listens on, enough for one cluster."""
    wanted = 2 + len(NODES)
    shuffled = random.sample(PORT_RANGE, k=50 * wanted)
    return tuple([port for port in shuffled if _is_free(port)][:wanted])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def write_config(config: Config) -> None:
    """Write every file that the daemons read, into a folder that exists and is empty."""
    folder = config.folder
    for name in ("state", "spool", "log", "dev"):
        (folder / name).mkdir()
    _write_private(folder / "munge.key", secrets.token_bytes(128))
    _make_gpus(folder / "dev")
    config.slurm_conf.write_text(slurm_conf(config))
    (folder / "gres.conf").write_text(
        f"NodeName={','.join(NODES)} Name=gpu File={folder}/dev/gpu[0-{GPUS_PER_NODE - 1}]\n"
    )
    if config.accounting:
        # slurmdbd refuses a file that others can read.
        _write_private(folder / "slurmdbd.conf", slurmdbd_conf(config).encode())


def _make_gpus(folder: Path) -> None:
    try:
        for gpu in range(GPUS_PER_NODE):
            os.mknod(folder / f"gpu{gpu}", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError as error:
        raise SlurmClusterError(
            f"{folder}: cannot make device files: {error}; allow mknod (CAP_MKNOD), then try again"
        ) from error


def _write_private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


def slurm_conf(config: Config) -> str:
    """Give the text of `slurm.conf`."""
    host = socket.gethostname().partition(".")[0]
    nodes = "\n".join(
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={config.node_port(node)} "
        "CPUs=64 SocketsPerBoard=2 CoresPerSocket=32 ThreadsPerCore=1 RealMemory=500000 "
        f"Gres=gpu:{GPUS_PER_NODE}"
        for node in NODES
    )
    return f"""\
ClusterName={CLUSTER_NAME}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={config.controller_port}
# The ranks of a job meet at a port that follows from its Slurm id, and clusters side by side
# share this machine's.
FirstJobId={config.first_job_id}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A requeued job starts after cred_expire: 120 s unless told otherwise.
AuthInfo=socket={config.munge_socket},cred_expire=5
StateSaveLocation={config.folder}/state
SlurmdSpoolDir={config.folder}/spool/%n
SlurmctldPidFile={config.folder}/slurmctld.pid
SlurmdPidFile={config.folder}/slurmd-%n.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
SchedulerParameters=sched_interval=2,bf_interval=2
MinJobAge={config.min_job_age_s}
ReturnToService=2
SlurmdTimeout=30
KillWait=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
{_accounting(config)}
{nodes}
PartitionName=preempt Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=10
PartitionName=preemptcancel Nodes=ALL PriorityTier=1 PreemptMode=CANCEL GraceTime=10
PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF
"""


def _accounting(config: Config) -> str:
    if not config.accounting:
        return "AccountingStorageType=accounting_storage/none"
    # AccountingStoragePass is munge's socket here: AuthInfo does not reach this connection.
    return f"""\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={config.database_port}
AccountingStoragePass={config.munge_socket}
AccountingStorageTRES=gres/gpu"""


def slurmdbd_conf(config: Config) -> str:
    """Give the text of `slurmdbd.conf`."""
    return f"""\
AuthType=auth/munge
AuthInfo=socket={config.munge_socket}
DbdHost=localhost
DbdPort={config.database_port}
SlurmUser=root
PidFile={config.folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm
"""
