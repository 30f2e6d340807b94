"""Follows a run until it ends, one pass after another.

On this machine there is no Slurm to requeue or to order jobs: the passes do it alone, and Ctrl-C
stops a local job the way a preemption does: it saves, and `launcher watch` goes on from there. A
second Ctrl-C leaves it to itself. Either may come at any time, and is obeyed between two passes.
"""

import fcntl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from db.ledger import Ledger
from db.schema import StageRun
from db.states import StageState
from jobs.contract.paths import RunFolder
from launcher.acting import BusyError
from launcher.cluster.base import Cluster
from launcher.ctrl_c import CtrlC
from launcher.ends import is_winding_down, nothing_can_happen
from launcher.pipeline import load_pipeline
from launcher.reconcile.policy.decide import UNSENT
from launcher.reconcile.refresh import (
    ALL_BYTES,
    Refreshed,
    learned_from,
    read_run,
    refresh_run,
)
from launcher.reconcile.run_pass import Passing
from launcher.show.progress import Shower
from launcher.view import view_stages

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
    _told: str = field(default="", init=False)
    _ctrl_c: CtrlC = field(default_factory=CtrlC, init=False)

    def look(self) -> Refreshed:
        """Brings the ledger up to date and shows the stages, and acts on nothing."""
        seen = refresh_run(
            self.ledger,
            self.run_id,
            lambda _: self.cluster,
            clock=self.clock,
            digest_bytes=ALL_BYTES,
        )
        return self._show(seen)

    def follow(self) -> Refreshed:
        """Passes until every stage has ended, or can never start."""
        with self._ctrl_c:
            return self._until_the_end(self.step)

    def watch(self) -> Refreshed:
        """Looks until every stage has ended; another process does the passes."""
        with self._ctrl_c:
            return self._until_the_end(self.look)

    def drive(self) -> Refreshed:
        """The passes for jobs on this machine, which are stopped by Ctrl-C.

        Raises:
            KeyboardInterrupt: After the running job has saved and ended, or has been left.
        """
        with self._ctrl_c:
            try:
                return self._until_the_end(self.step)
            except KeyboardInterrupt:
                self._stop()
                raise

    def _until_the_end(self, look: Callable[[], Refreshed]) -> Refreshed:
        while True:
            seen = look()
            if nothing_can_happen(seen.stages):
                return seen
            self._ctrl_c.rest(self.every_s)

    def step(self) -> Refreshed:
        """One pass over the run; only a look where another launcher is acting."""
        passing = Passing(
            self.ledger,
            lambda _: self.cluster,
            load_pipeline,
            digest_bytes=ALL_BYTES,
            clock=self.clock,
        )
        try:
            report = passing.run(self.run_id)
        except BusyError:
            return self.look()
        for done in report.done:
            if done.said or done.error:
                why = "" if done.rule == UNSENT else f" ({done.rule}: {done.sentence})"
                self.say(f"{done.stage}: {done.said or done.error}{why}")
        # What was decided about a stage is out of date once it has been done.
        acted = {done.stage for done in report.done if done.said}
        learned = learned_from(report.judged.get(self.run_id, ()))
        return self._show(
            Refreshed(
                stages=read_run(self.ledger, self.run_id).stages,
                learned={stage: told for stage, told in learned.items() if stage not in acted},
                queries=report.queries,
                no_answer=report.no_answer,
            )
        )

    def _show(self, seen: Refreshed) -> Refreshed:
        self.queries += seen.queries
        if seen.no_answer and seen.no_answer != self._told:
            self.say(f"{seen.no_answer}; nothing is done until it answers")
        self._told = seen.no_answer
        self.progress.show(view_stages(seen.stages, seen.learned), at=self.clock())
        return seen

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
            self._ctrl_c.rest(min(self.every_s, 0.5))
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


def _is_any_live(stages: Sequence[StageRun]) -> bool:
    return any(row.state in _LIVE or is_winding_down(row) for row in stages)
