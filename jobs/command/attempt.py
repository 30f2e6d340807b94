"""One attempt of a foreign program: rank 0 leads, the other ranks follow.

All ranks run their own process of the program. Rank 0 alone chooses the checkpoint to go on
from, watches those that are saved, tells the events and says how the attempt has ended.
"""

import os
import shutil
from pathlib import Path

from jobs.command.failure import PeerFailedError
from jobs.command.guardian import adopt_orphans
from jobs.command.lead import Lead
from jobs.command.peers import USUAL, Ending, Patience, Peers, Start
from jobs.command.process import Ended, Process
from jobs.command.surroundings import Surroundings
from jobs.contract.manifest import done_marker
from jobs.ending import tell_fault
from jobs.job import Job, RefusedError, StoppedError


def run(job: Job, patience: Patience = USUAL) -> None:
    """Runs the stage's program on this rank.

    The ranks' own processes end together, however far apart their programs do: Slurm ends the
    rest of a job soon after the first of them.

    Args:
        job: This rank's job.
        patience: How long the ranks wait for each other.

    Raises:
        RefusedError: It cannot run here, or says itself that it must not run again.
        StoppedError: It was told to end, or says itself that it has been.
        Exception: It failed; the class is called as the program's own error was.
    """
    command = job.spec.command
    if command is None:
        raise RefusedError(f"stage {job.spec.stage}: its specification has no `command`")
    adopt_orphans()  # should the guardian be killed, what it looked after is ours
    around = Surroundings(job, command)
    around.checkpoints.mkdir(parents=True, exist_ok=True)
    place = job.place
    folder = job.folder.root / "ranks" / str(place.attempt)
    peers = Peers(folder, place.rank, place.world_size, patience)
    with peers.living():
        if place.rank:
            _follow(job, around, peers)
        else:
            _lead(job, around, peers)


def _lead(job: Job, around: Surroundings, peers: Peers) -> None:
    try:
        step = _run_first(job, around, peers)
    except StoppedError as stopped:
        peers.conclude(Ending("stopped", stopped.step or 0))
        raise
    except RefusedError as refused:
        peers.conclude(Ending("refused", text=str(refused), fault=refused.fault))
        raise
    except Exception as error:
        peers.conclude(Ending("failed", text=str(error)))
        raise
    peers.conclude(Ending("done", step))


def _run_first(job: Job, around: Surroundings, peers: Peers) -> int:
    """Runs rank 0's part; gives the step of the final checkpoint."""
    done = done_marker(job.folder.checkpoints, digests=False)
    if done is not None:  # the last attempt had only to say so
        return done[1].step
    _check_surroundings(around)
    lead = Lead(job, around)
    resume = lead.choose_checkpoint()
    if job.stop.signal_name is not None:
        raise StoppedError(lead.first_step or None)
    lead.attend()
    process = Process(job, around, peers, resume)
    peers.start(Start(None if resume is None else str(resume), lead.first_step))
    ended = process.see_through(lambda: lead.look(process.tail))
    peers.report(ended.ending)
    together = _all_together(job, peers, lead, ended, process)
    return lead.conclude(together, process.tail, process.stopping.ends_at)


def _all_together(job: Job, peers: Peers, lead: Lead, own: Ended, process: Process) -> Ended:
    """How the program ended, all ranks taken together."""
    if own.ending.outcome in ("failed", "refused"):
        return own

    def go_on() -> bool:
        lead.wait_on(process.tail)
        process.heed()
        return process.may_wait

    reports = peers.wait_for_reports(go_on)
    of = {ending.outcome: rank for rank, ending in sorted(reports.items(), reverse=True)}
    if "failed" in of:
        error = PeerFailedError(f"the program of rank {of['failed']} failed")
        return Ended(Ending("failed", text=str(error)), error)
    if "refused" in of:
        return Ended(reports[of["refused"]])
    missing = set(range(job.place.world_size)) - reports.keys()
    if missing and not process.stopping.is_under_way:
        error = PeerFailedError(f"rank {min(missing)} is gone, and has not said why")
        return Ended(Ending("failed", text=str(error)), error)
    if "stopped" in of or missing:  # who was told to stop, and dies of it, was stopped
        return Ended(Ending("stopped"), at_rest=own.at_rest and not missing)
    return own


def _follow(job: Job, around: Surroundings, peers: Peers) -> None:
    """Runs another rank's part, and ends as rank 0 does."""
    start = peers.wait_for(lambda: peers.first_word)
    if not isinstance(start, Start):
        _end_as(start)
        return
    job.reached.step = start.step
    resume = None if start.resume is None else Path(start.resume)
    process: Process | None = None
    try:
        _check_surroundings(around)
        process = Process(job, around, peers, resume)
        ended = process.see_through(lambda: None)
    except RefusedError as refused:
        ended = Ended(Ending("refused", text=str(refused), fault=refused.fault))
    peers.report(ended.ending)
    if ended.error is not None and not isinstance(ended.error, RefusedError):
        tell_fault(job, ended.error)

    def go_on() -> bool:
        if process is not None:
            process.heed()
        return True

    ending = peers.wait_for(lambda: peers.ending, go_on)
    if ended.error is not None:
        raise ended.error
    _end_as(ending)


def _end_as(ending: Ending | None) -> None:
    """Ends this rank as rank 0 says that the attempt has ended."""
    if ending is None:
        raise PeerFailedError("rank 0 is gone, and has not said why")
    if ending.outcome == "stopped":
        raise StoppedError(ending.step)
    if ending.outcome == "refused":
        raise RefusedError(ending.text, fault=ending.fault)
    if ending.outcome == "failed":
        raise PeerFailedError(f"the program of another rank failed: {ending.text}")


def _check_surroundings(around: Surroundings) -> None:
    """Refuses what can never start."""
    cwd, program = around.command.cwd, around.arguments(None)[0]
    if not cwd.is_dir():
        raise RefusedError(f"{cwd}: no such folder here; correct command.cwd")
    path = around.environment(None, os.environ).get("PATH")
    found = str(cwd / program) if "/" in program else program
    if shutil.which(found, path=path) is None:
        raise RefusedError(
            f"{program}: no such program here; correct command.argv, or put its folder on the "
            "PATH by cluster.setup"
        )
