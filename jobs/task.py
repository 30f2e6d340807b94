"""What submitit runs on each rank: from a bare process to a stage, and out with a code.

Reads as: take over the signals, find the place, take over the output, check that this
attempt may run at all, run the stage's program, say how it ended.
"""

import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from jobs.contract import exits
from jobs.contract.events import EventWriter
from jobs.contract.manifest import done_marker
from jobs.contract.paths import RunFolder, StageFolder
from jobs.contract.spec import StageSpec
from jobs.contract.task import StageTask
from jobs.distributed import Place, find_place, share_cores
from jobs.stop import StopFlag


class RefusedError(Exception):
    """This attempt must not run as it is, and running it again would not help (exit 93)."""


class StoppedError(Exception):
    """The stage stopped on a signal after saving (exit 75).

    Attributes:
        step: The optimizer step that is safe on the disk.
    """

    def __init__(self, step: int) -> None:
        super().__init__(f"stopped on a signal at step {step}")
        self.step = step


@dataclass(frozen=True)
class Job:
    """One rank's view of the attempt that it is part of.

    Attributes:
        task: What submitit was given.
        spec: What to do.
        run: The run's folder.
        place: Where this rank stands.
        stop: Whether the job was asked to stop.
        events: Where rank 0 tells what happens; other ranks hold None.
    """

    task: StageTask
    spec: StageSpec
    run: RunFolder
    place: Place
    stop: StopFlag
    events: EventWriter | None

    @property
    def folder(self) -> StageFolder:
        """The stage's folder."""
        return self.run.stage(self.task.stage)

    def tell(self, kind: str, **fields: object) -> None:
        """Writes an event, on rank 0."""
        if self.events is not None:
            self.events.write(kind, **fields)

    def is_fenced_off(self) -> bool:
        """Whether a newer submission of the stage exists: this attempt is a zombie then."""
        try:
            return int(self.folder.fence.read_text()) > self.task.fence
        except FileNotFoundError:
            return False

    def initial_weights(self) -> Path | None:
        """Weights file of the stage to start from.

        Raises:
            RefusedError: That stage's final checkpoint holds no weights.
        """
        if self.spec.init_from is None:
            return None
        found = done_marker(self.run.stage(self.spec.init_from).checkpoints, digests=False)
        if found is None or found[1].weights is None:
            raise RefusedError(
                f"stage {self.spec.stage}: no final weights of stage {self.spec.init_from}"
            )
        return found[0] / found[1].weights

    def required_weights(self) -> Path:
        """The same, for a stage that cannot start from nothing; raises RefusedError."""
        weights = self.initial_weights()
        if weights is None:
            raise RefusedError(f"stage {self.spec.stage}: needs a stage to start from; add `needs`")
        return weights


def run_task(task: StageTask) -> NoReturn:
    """Runs a stage on this rank and ends the process with a code of `jobs.contract.exits`."""
    stop = StopFlag()
    stop.listen()
    place = find_place(task)
    share_cores(place)
    run = RunFolder(task.run_folder)
    folder = run.stage(task.stage)
    _redirect_output(folder.log_file(place.attempt, place.rank))
    events = EventWriter(folder.events_file(place.attempt)) if place.rank == 0 else None
    if events is not None:
        events.write("begin", hosts=place.hosts, world_size=place.world_size)
    code = run_attempt(task, run, place, stop, events)
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: libraries' exit hooks can hang or turn the code into another one.
    os._exit(code)


def run_attempt(
    task: StageTask, run: RunFolder, place: Place, stop: StopFlag, events: EventWriter | None
) -> int:
    """Runs the stage as its specification says; gives the exit code, whatever happens."""
    try:
        spec = StageSpec.read(run.stage(task.stage).spec)
    except (OSError, ValueError) as error:
        print(f"no readable specification: {error}", flush=True)  # noqa: T201 - the rank's log
        if events is not None:
            text = f"spec.json: {error}"
            events.write("exit", outcome="refused", code=exits.REFUSED, message=text)
        return exits.REFUSED
    return _run_stage(Job(task, spec, run, place, stop, events))


def _run_stage(job: Job) -> int:
    try:
        _check_allowed(job)
        _program(job.spec)(job)
    except StoppedError as stopped:
        job.tell("signal", name=job.stop.signal_name)
        return _end(job, "stopped", exits.STOPPED, str(stopped), step=stopped.step)
    except RefusedError as refused:
        return _end(job, "refused", exits.REFUSED, str(refused))
    except Exception as error:  # noqa: BLE001 - the one place where a job's fault becomes an event
        traceback.print_exc()
        text = f"{type(error).__name__}: {error}"
        return _end(job, "failed", 1, text, error=type(error).__name__)
    return _end(job, "done", exits.DONE, "")


def _end(job: Job, outcome: str, code: int, message: str, **fields: object) -> int:
    print(f"{job.spec.stage}: {outcome} {message}".rstrip(), flush=True)  # noqa: T201 - the rank's log
    if job.events is not None:
        job.tell("exit", outcome=outcome, code=code, message=message, **fields)
    elif outcome in ("failed", "refused"):
        _tell_own_fault(job, outcome=outcome, code=code, message=message, **fields)
    if outcome in ("done", "stopped"):
        _wait_for_all()
    return code


def _tell_own_fault(job: Job, **fields: object) -> None:
    """Rank 0 only sees that a peer is gone; why, the failing rank tells in a file of its own."""
    rank = job.place.rank
    writer = EventWriter(job.folder.events_file(job.place.attempt, rank))
    writer.write("exit", **fields)
    writer.close()


def _wait_for_all() -> None:
    """Keeps the first rank to leave from ending the job under one that still writes."""
    import torch.distributed as dist  # noqa: PLC0415 - loaded by now where it is needed

    if dist.is_initialized():
        # A peer that died here has saved all the same.
        with contextlib.suppress(RuntimeError):
            dist.barrier()


def _check_allowed(job: Job) -> None:
    """Refuses zombies, and stages whose parents are not done, whatever Slurm thinks of them."""
    if job.is_fenced_off():
        raise RefusedError(f"a newer submission than number {job.task.fence} of this stage exists")
    for parent in job.spec.parents:
        if done_marker(job.run.stage(parent).checkpoints, digests=False) is None:
            raise RefusedError(f"stage {parent} has no valid final checkpoint")


def _program(spec: StageSpec) -> Callable[[Job], None]:
    entry = spec.train.entry if spec.train is not None else "evaluate"
    program: Callable[[Job], None] = importlib.import_module(f"jobs.{entry}").run
    return program


def _redirect_output(log: Path) -> None:
    """Sends standard output and error to a file of this attempt: a requeue gets another one."""
    log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
