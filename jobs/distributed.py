"""Where a rank stands, and how the ranks of a job find each other."""

import os
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import submitit

from jobs.contract.paths import AttemptKey
from jobs.contract.task import StageTask

Answer = TypeVar("Answer")

_FIRST_PORT = 20_000
_PORTS = 12_000
"""Below the ports that Linux hands out by itself (32768 and up)."""


@dataclass(frozen=True)
class Place:
    """One rank's place in its job.

    Attributes:
        attempt: Slurm id and restart count.
        rank: Number of this rank among all, from 0.
        local_rank: Number on its node, from 0.
        world_size: Ranks of the job.
        hosts: Nodes of the job; the first one holds rank 0.
        host: This rank's node, as Slurm names it.
        on_slurm: Whether Slurm runs the job; else it is this machine.
    """

    attempt: AttemptKey
    rank: int
    local_rank: int
    world_size: int
    hosts: tuple[str, ...]
    host: str = ""
    on_slurm: bool = False

    @property
    def port(self) -> int:
        """Rendezvous port: the same on all ranks, another one after each restart."""
        return _FIRST_PORT + zlib.crc32(str(self.attempt).encode()) % _PORTS


def find_place(task: StageTask) -> Place:
    """Reads the rank's place from submitit's environment (Slurm's, or the local executor's)."""
    environment = submitit.JobEnvironment()
    on_slurm = environment.cluster == "slurm"
    hosts = tuple(environment.hostnames) if on_slurm else ("127.0.0.1",)
    return Place(
        attempt=AttemptKey(
            environment.job_id if on_slurm else task.token,
            int(os.environ.get("SLURM_RESTART_COUNT", "0")) if on_slurm else 0,
        ),
        rank=environment.global_rank,
        local_rank=environment.local_rank,
        world_size=environment.num_tasks,
        hosts=hosts,
        host=os.environ.get("SLURMD_NODENAME", "") if on_slurm else hosts[0],
        on_slurm=on_slurm,
    )


def export_rendezvous(place: Place) -> None:
    """Sets what torch.distributed reads, over anything inherited from a login shell."""
    os.environ |= {
        "MASTER_ADDR": place.hosts[0],
        "MASTER_PORT": str(place.port),
        "RANK": str(place.rank),
        "LOCAL_RANK": str(place.local_rank),
        "WORLD_SIZE": str(place.world_size),
    }


def share_cores(place: Place) -> None:
    """Gives each rank of a node its part of the cores; call it before torch is imported.

    Without it each rank starts a thread for every core it sees, and threads that wait in a
    spin keep the others from working: 32 ranks on two cores took 38 s a step, and even one
    rank's step went from 0.5 s to 8 s beside its data loader. What is set already stays.
    """
    ranks_here = -(-place.world_size // len(place.hosts))
    threads = max(1, len(os.sched_getaffinity(0)) // ranks_here)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def on_rank_0(question: Callable[[], Answer]) -> Answer:
    """Rank 0's answer, on all ranks; all must ask. What it raises is raised on rank 0 alone."""
    import torch.distributed as dist  # noqa: PLC0415 - see forbid_compiling

    answer: list[Any] = [question() if dist.get_rank() == 0 else None]
    dist.broadcast_object_list(answer, src=0)
    found: Answer = answer[0]
    return found


def forbid_compiling(operators: Iterable[str] = ("deepspeed_shm_comm",)) -> None:
    """Keeps DeepSpeed from compiling C++ operators when it starts.

    Its first `init_distributed` on a CPU compiles one for 40 s, fails where a compiler or
    ninja is missing, and waits for ever on the lock file of a compilation that was killed.
    Training does not need it: gloo does the same sums.
    """
    import deepspeed  # noqa: PLC0415 - 2 s; the launcher's tests import this module too

    for name in operators:
        deepspeed.ops.__compatible_ops__[name] = False


def join(place: Place, *, timeout_s: float = 1800.0) -> None:
    """Joins the job's process group: nccl with GPUs, else gloo.

    Args:
        place: This rank's place.
        timeout_s: How long a collective may wait for a slow rank.
    """
    import deepspeed  # noqa: PLC0415 - see forbid_compiling
    import torch  # noqa: PLC0415

    export_rendezvous(place)
    has_gpu = torch.cuda.is_available()
    if has_gpu:
        device = place.local_rank % torch.cuda.device_count()
        torch.cuda.set_device(device)
        # DeepSpeed takes it for the device's number; Slurm may show each task one GPU alone.
        os.environ["LOCAL_RANK"] = str(device)
    else:
        forbid_compiling()
    deepspeed.init_distributed(
        dist_backend="nccl" if has_gpu else "gloo",
        timeout=timedelta(seconds=timeout_s),
        auto_mpi_discovery=False,
        verbose=False,
    )
