"""What submitit runs on each rank: from a bare process to a stage, and out with a code.

Reads as: take over the signals, find the place, take over the output, check that this
attempt may run at all, run the stage's program, say how it ended, and put the job back into
the queue where it stopped on a signal.
"""

import faulthandler
import importlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from jobs.contract import exits
from jobs.contract.events import EventWriter
from jobs.contract.manifest import done_marker
from jobs.contract.paths import RunFolder
from jobs.contract.spec import StageSpec
from jobs.contract.task import StageTask
from jobs.distributed import Place, find_place, share_cores
from jobs.ending import end, end_failed, end_refused, end_stopped, leave, leave_early
from jobs.faults import DETERMINISTIC, fault_of
from jobs.job import Job, RefusedError, StoppedError
from jobs.log import say
from jobs.stop import StopFlag

Program = Callable[[Job], None]
"""What a stage does on each rank."""


def run_task(task: StageTask, program: Program | None = None) -> NoReturn:
    """Runs a stage on this rank and ends the process with a code of `jobs.contract.exits`.

    Args:
        task: Which stage.
        program: What it does; by default what its specification says.
    """
    stop = StopFlag()
    stop.listen()
    place = find_place(task)
    share_cores(place)
    run = RunFolder(task.run_folder)
    folder = run.stage(task.stage)
    _redirect_output(folder.log_file(place.attempt, place.rank))
    _dump_stacks_on_request(folder.stack_file(place.attempt, place.rank))
    events = EventWriter(folder.events_file(place.attempt)) if place.rank == 0 else None
    if events is not None:
        events.write("begin", hosts=place.hosts, world_size=place.world_size)
    code = run_attempt(task, run, place, stop, events, program)
    leave(code)


def run_attempt(
    task: StageTask,
    run: RunFolder,
    place: Place,
    stop: StopFlag,
    events: EventWriter | None,
    program: Program | None = None,
) -> int:
    """Runs the stage as its specification says; gives the exit code, whatever happens."""
    try:
        spec = StageSpec.read(run.stage(task.stage).spec)
    except (OSError, ValueError) as error:
        say(f"no readable specification: {error}")
        if events is not None:
            text, fault = f"spec.json: {error}", fault_of(error).kind or DETERMINISTIC
            events.write("exit", outcome="refused", code=exits.REFUSED, message=text, fault=fault)
        return exits.REFUSED
    return _run_stage(Job(task, spec, run, place, stop, events), program)


def _run_stage(job: Job, program: Program | None) -> int:
    if program is not None or job.spec.train is not None or job.spec.evaluate is not None:
        job.stop.leave_early_with(lambda: leave_early(job))
    try:
        job.clock.mark("launch")
        _check_allowed(job)
        run = program or _program(job.spec)
        job.clock.mark("imports")
        run(job)
    except StoppedError as stopped:
        return end_stopped(job, stopped)
    except RefusedError as refused:
        return end_refused(job, refused)
    except Exception as error:  # noqa: BLE001 - the one place where a job's fault becomes an event
        return end_failed(job, error)
    code = end(job, "done", exits.DONE, "")
    job.stop.wait_for_all()
    return code


def _check_allowed(job: Job) -> None:
    """Refuses zombies, and stages whose parents are not done, whatever Slurm thinks of them."""
    taken_over = job.taken_over()
    if taken_over is not None:
        raise RefusedError(taken_over, fault="fenced")
    for parent in job.spec.parents:
        if done_marker(job.run.stage(parent).checkpoints, digests=False) is None:
            raise RefusedError(f"stage {parent} has no valid final checkpoint", fault="parents")


def _program(spec: StageSpec) -> Program:
    other = "evaluate" if spec.command is None else "command"
    entry = spec.train.entry if spec.train is not None else other
    program: Program = importlib.import_module(f"jobs.{entry}").run
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


def _dump_stacks_on_request(path: Path) -> None:
    """Has SIGUSR1 write down where each thread is, and a crash in C where it was.

    faulthandler does it in the signal handler itself: a thread that hangs does not keep it up.
    """
    # Open as long as the process is: the handler can open nothing.
    file = path.open("a", encoding="utf-8")
    faulthandler.register(signal.SIGUSR1, file=file, all_threads=True, chain=False)
    faulthandler.enable()
