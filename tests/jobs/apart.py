"""Runs one rank of a command stage as the launcher does, with little patience.

`python -m tests.jobs.apart FOLDER RANK COMMAND`: COMMAND is JSON, the keys of `command`. Events and
logs lie in the run of FOLDER; of stage s1, attempt 7.0.
"""

import json
import os
import sys
from pathlib import Path

from jobs.command import run
from jobs.command.peers import Patience
from jobs.contract.paths import RunFolder
from jobs.ending import leave
from jobs.job import Job
from jobs.task import run_attempt
from tests.jobs.paper import paper_job

SHORT = Patience(beat_s=0.2, look_s=0.2, silent_s=10.0, absent_s=60.0, still_s=3.0)


def impatiently(job: Job) -> None:
    """The stage's program; a signal does not end it at once, as it does a training's start."""
    job.stop.stay()
    run(job, SHORT)


def main() -> None:
    """One of two ranks."""
    folder, rank, command = RunFolder(Path(sys.argv[1])), int(sys.argv[2]), json.loads(sys.argv[3])
    job = paper_job(folder, rank=rank, ranks=2, told=rank == 0, command=command)
    log = job.folder.log_file(job.place.attempt, rank)
    log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    job.spec.write(job.folder.spec)
    job.stop.listen()
    leave(run_attempt(job.task, job.run, job.place, job.stop, job.events, impatiently))


if __name__ == "__main__":
    main()
