"""How a rank's attempt ends: told in events, waited for, and put back into the queue.

Order of a stop: all ranks have saved, rank 0 tells the exit, all meet once more, rank 0 asks
Slurm to requeue the job (which kills the ranks that are left), all exit with 75.
"""

import os
import sys
import traceback
from typing import NoReturn

from jobs.contract import exits
from jobs.contract.events import EventWriter, read_events
from jobs.faults import fault_of
from jobs.job import Job, RefusedError, StoppedError
from jobs.log import say
from jobs.requeue import requeue


def end_stopped(job: Job, stopped: StoppedError) -> int:
    """Tells the stop, waits until no rank has anything to lose, and requeues; gives the code."""
    job.tell("signal", name=job.stop.signal_name)
    # What was done after the last save counts as lost, so that is the step to tell.
    last = max((s for s in (stopped.step, job.reached.step) if s is not None), default=None)
    code = end(job, "stopped", exits.STOPPED, str(stopped), step=last)
    job.stop.wait_for_all()
    _requeue(job)
    return code


def end_failed(job: Job, error: Exception) -> int:
    """Tells what went wrong, in this rank's own file where it is not rank 0; gives the code."""
    traceback.print_exc()
    if job.stop.may_leave_early and job.stop.signal_name is not None and job.place.rank:
        # Rank 0 left before the first step, and this rank saw it go.
        return exits.STOPPED
    zombie = _zombie_of(job)
    if zombie is not None:
        return end(job, "refused", exits.REFUSED, zombie, fault="fenced")
    return end(job, "failed", 1, _words(error), **_failure(job, error))


def tell_fault(job: Job, error: Exception) -> None:
    """Tells what went wrong on a rank other than 0 that ends only when all others do.

    The first one that tells explains the end of the attempt, and the job may be killed meanwhile.
    """
    told = {"outcome": "failed", "code": 1, "message": _words(error)} | _failure(job, error)
    _tell_own_fault(job, {name: value for name, value in told.items() if value is not None})


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _failure(job: Job, error: Exception) -> dict[str, object]:
    """The fields of a failure's event."""
    fault = fault_of(error)
    return {
        "step": job.reached.step,
        "error": type(error).__name__,
        "fault": fault.kind,
        "lost_peer": fault.lost_peer,
        "host": None if fault.lost_peer else job.place.host,
    }


def end_refused(job: Job, refused: RefusedError) -> int:
    """Tells why running on or again would not help, and where more of it stands; the code."""
    report = None if refused.report is None else str(refused.report)
    return end(job, "refused", exits.REFUSED, str(refused), fault=refused.fault, report=report)


def _zombie_of(job: Job) -> str | None:
    """Who has taken over, where that can be read: a disk that fails has just been reported."""
    try:
        return job.taken_over()
    except (OSError, ValueError):
        return None


def end(job: Job, outcome: str, code: int, message: str, **fields: object) -> int:
    """Tells how this rank ends, and gives the code."""
    job.stop.stay()
    return _tell_end(job, outcome, code, message, **fields)


def _tell_end(job: Job, outcome: str, code: int, message: str, **fields: object) -> int:
    say(f"{job.spec.stage}: {outcome} {message}".rstrip())
    told: dict[str, object] = {"outcome": outcome, "code": code, "message": message}
    told |= {name: value for name, value in fields.items() if value is not None}
    if job.events is not None:
        job.tell("exit", **told)
    elif outcome in ("failed", "refused"):
        _tell_own_fault(job, told)
    return code


def _tell_own_fault(job: Job, told: dict[str, object]) -> None:
    """Rank 0 only sees that a peer is gone; why, the failing rank tells in a file of its own."""
    rank = job.place.rank
    writer = EventWriter(job.folder.events_file(job.place.attempt, rank))
    writer.write("exit", **told)
    writer.close()


def leave_early(job: Job) -> None:
    """Ends the process on a signal before the first step; called in another thread.

    Rank 0 decides and tells. The others would wait for it in vain: they leave when its event
    file says that it has left.
    """
    if job.place.rank == 0:
        stopped = StoppedError(None)
        job.tell("signal", name=job.stop.signal_name)
        code = _tell_end(job, "stopped", exits.STOPPED, str(stopped), step=job.reached.step)
        _requeue(job)
        leave(code)
    told = read_events(job.folder.events_file(job.place.attempt))
    if any(event.kind == "exit" for event in told):
        leave(exits.STOPPED)


def _requeue(job: Job) -> None:
    """Puts the job back into Slurm's queue, on rank 0."""
    if job.place.rank or not job.place.on_slurm or not job.spec.resumable:
        return
    answer = requeue(job.place.attempt.slurm_id)
    say(f"{job.spec.stage}: {answer}")
    job.tell(answer.kind, **answer.fields)


def leave(code: int) -> NoReturn:
    """Ends the process with this code, whatever else it would do on its way out."""
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: libraries' exit hooks can hang or turn the code into another one.
    os._exit(code)
