"""Follows a run until it ends, and on a cluster that cannot order jobs, starts them in order.

Ctrl-C stops a local job the way a preemption does: it saves, and `launcher watch` goes on from
there. A second Ctrl-C leaves it to itself. Either may come anywhere.
"""

import fcntl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from db import record
from db.ledger import Ledger
from db.schema import StageRun
from db.states import StageState, SubmissionState
from jobs.contract.paths import RunFolder
from launcher.cluster.base import Cluster
from launcher.intent import frozen_settings, job_request, new_token, write_fence
from launcher.pipeline import Pipeline
from launcher.reconcile.observe import open_submission
from launcher.reconcile.record import settle_run
from launcher.reconcile.refresh import ALL_BYTES, Refreshed, refresh_run
from launcher.show.progress import Shower
from launcher.view import view_stages

_FINISHED = (StageState.DONE, StageState.REUSED)
_ENDED = (*_FINISHED, StageState.FAILED, StageState.CANCELLED)
_STARTABLE = (StageState.WAITING, StageState.SUBMITTING)
_LIVE = (StageState.PENDING, StageState.RUNNING)


@dataclass
class Follower:
    """Follows one run.

    Attributes:
        ledger: The ledger.
        run_id: The run.
        cluster: Where its jobs are.
        progress: Where to show it.
        say: Tells a line.
        every_s: Seconds between two looks.
        clock: Unix seconds.
        queries: Questions put to the scheduler so far.
    """

    ledger: Ledger
    run_id: str
    cluster: Cluster
    progress: Shower
    say: Callable[[str], None]
    every_s: float
    clock: Callable[[], float] = time.time
    queries: int = field(default=0, init=False)

    def look(self) -> Refreshed:
        """Brings the ledger up to date and shows the stages."""
        seen = refresh_run(
            self.ledger,
            self.run_id,
            lambda _: self.cluster,
            clock=self.clock,
            digest_bytes=ALL_BYTES,
        )
        self.queries += seen.queries
        self.progress.show(view_stages(seen.stages, seen.learned), at=self.clock())
        return seen

    def watch(self) -> Refreshed:
        """Looks until every stage has ended, or can never start."""
        while True:
            seen = self.look()
            if _nothing_can_happen(seen.stages):
                return seen
            time.sleep(self.every_s)

    def drive(self, pipeline: Pipeline) -> Refreshed:
        """Starts each stage when its parents are done, one after another, until none is left.

        A stage that an earlier launcher left interrupted is started again, once.

        Raises:
            KeyboardInterrupt: After the running job has saved and ended, or has been left.
        """
        try:
            seen = self.look()
            again = {row.stage for row in seen.stages if row.state is StageState.INTERRUPTED}
            while True:
                ready = _ready(seen.stages, again)
                if ready is not None:
                    again.discard(ready.stage)
                    self._start(pipeline, ready)
                elif not _is_any_live(seen.stages):
                    return seen
                time.sleep(self.every_s)
                seen = self.look()
        except KeyboardInterrupt:
            self._stop()
            raise

    def _start(self, pipeline: Pipeline, row: StageRun) -> None:
        """Hands one stage over: the intent if it has none that is unused, the job, its id."""
        run, stage = RunFolder(Path(row.run.folder)), pipeline.stage(row.stage)
        newest = row.submissions[-1]
        token, fence = newest.token, newest.fence
        if newest.slurm_id is not None or newest.state is not SubmissionState.SUBMITTING:
            token, fence = new_token(), fence + 1
            write_fence(run, stage.name, fence)
            with self.ledger.write() as session:
                record.close_submission(session, newest.token)
                record.new_submission(
                    session,
                    row.id,
                    token=token,
                    fence=fence,
                    spec=frozen_settings(stage),
                    parents=[],
                    at=self.clock(),
                )
        slurm_id = self.cluster.submit(job_request(run, stage, token=token, fence=fence))
        with self.ledger.write() as session:
            record.submitted(session, token, slurm_id, at=self.clock())
            record.set_stage_state(session, row.id, StageState.PENDING, at=self.clock())
            settle_run(session, self.run_id, at=self.clock())

    def _stop(self) -> None:
        """Asks the running jobs to save, and waits until they have ended and this is recorded."""
        stages = self.look().stages
        if _is_any_live(stages):
            self.say("stopping: the running stage saves first; Ctrl-C again leaves it to itself")
        while _is_any_live(stages):
            # Each time anew: a job that has only begun to start does not hear it yet.
            for row in stages:
                if row.state in _LIVE and row.submissions[-1].slurm_id is not None:
                    self.cluster.stop(row.submissions[-1].slurm_id)
            time.sleep(min(self.every_s, 0.5))
            stages = self.look().stages


@contextmanager
def only_driver(run: RunFolder) -> Iterator[bool]:
    """Whether this process alone may start the run's stages; the lock ends with the process."""
    with (run.root / "driver.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def is_done(stages: Sequence[StageRun]) -> bool:
    """Whether every stage is done."""
    return all(row.state in _FINISHED for row in stages)


def _is_any_live(stages: Sequence[StageRun]) -> bool:
    return any(row.state in _LIVE or _is_winding_down(row) for row in stages)


def _is_winding_down(row: StageRun) -> bool:
    """Whether a stage has ended by its files, and its job is still leaving."""
    return row.state in _ENDED and open_submission(row) is not None


def _ready(stages: Sequence[StageRun], again: set[str]) -> StageRun | None:
    """The first stage to start now; none while one is running."""
    if _is_any_live(stages):
        return None
    done = {row.stage for row in stages if row.state in _FINISHED}
    for row in stages:
        if (row.state in _STARTABLE or row.stage in again) and done.issuperset(row.needs):
            return row
    return None


def _nothing_can_happen(stages: Sequence[StageRun]) -> bool:
    """Whether all has ended that does not wait for something that failed."""
    dead: set[str] = set()
    for row in stages:
        waits = row.state in _STARTABLE
        if _is_winding_down(row):
            return False
        if row.state in (StageState.FAILED, StageState.CANCELLED) or (
            waits and dead.intersection(row.needs)
        ):
            dead.add(row.stage)
        elif row.state not in _ENDED:
            return False
    return True
