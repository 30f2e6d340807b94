"""Saves a small state on two ranks while something happens to one of them.

`python saving.py TOKEN RANK WORLD_SIZE FOLDER WHAT`: each rank prints what became of each save.
WHAT is `well`, `killed` (rank 1, before it has written), `overtaken` (by a newer submission) or
`full` (rank 1 cannot write so much; then it can).
"""

import os
import resource
import signal
import sys
from pathlib import Path

import torch.distributed as dist

from jobs.checkpoint.progress import Progress
from jobs.checkpoint.saver import Saver, Snapshot
from jobs.checkpoint.state import EngineState
from jobs.contract.checkpointing import Checkpointing
from jobs.contract.paths import RunFolder
from tests.jobs.checkpoint.small import SmallEngine
from tests.jobs.paper import paper_job

LARGEST_FILE = 4096


def main() -> None:
    """Joins the ranks and saves."""
    rank, world_size, folder, what = *map(int, sys.argv[2:4]), Path(sys.argv[4]), sys.argv[5]
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world_size
    )
    job = paper_job(RunFolder(folder), rank=rank, ranks=world_size)
    saver = Saver(job, EngineState(SmallEngine(10_000)), Checkpointing())
    if rank == 1 and what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if rank == 1 and what == "overtaken":
        job.folder.fence.parent.mkdir(parents=True, exist_ok=True)
        job.folder.fence.write_text("2")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    if rank == 1 and what == "full":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that the disk's answer is an error
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, limit[1]))
    for step in (5, 6):
        saver.begin(Snapshot(progress=Progress(step=step), parent=None))
        saved = saver.wait()
        print(f"{saved.path.name}: {saved.error or saved.taken_over or 'saved'}", flush=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    os._exit(0)


if __name__ == "__main__":
    main()
