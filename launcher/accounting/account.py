"""The accounts of a run's stages, from the ledger's rows and what the event files tell."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from db.engine import ledger_url
from db.ledger import Ledger
from db.queries import newest_run, stages_of
from db.schema import Attempt, StageRun
from db.states import DONE_STATES
from jobs.contract.events import Event, read_events
from jobs.contract.paths import AttemptKey, RunFolder
from launcher.accounting.attempt import AttemptSpent, take_apart
from launcher.accounting.parts import Spent, total_of
from launcher.accounting.trace import whole

Read = Callable[[StageRun, Attempt], Sequence[Event]]
"""Gives the events of an attempt."""


@dataclass(frozen=True)
class StageAccount:
    """A stage.

    Attributes:
        stage: Its name.
        attempts: That held nodes, in order.
        queued_s: Seconds that its attempts waited in the queue.
    """

    stage: str
    attempts: tuple[AttemptSpent, ...]
    queued_s: float

    @property
    def spent(self) -> Spent:
        """Seconds, by all attempts."""
        return total_of([each.spent for each in self.attempts])

    @property
    def gpu_spent(self) -> Spent:
        """GPU-seconds, by all attempts."""
        return total_of([each.spent * each.gpus for each in self.attempts])


@dataclass(frozen=True)
class Account:
    """A whole run.

    Attributes:
        is_done: It came to its end.
        wall_s: From its submission to the end of its last job, or until now.
        stages: In order.
    """

    is_done: bool
    wall_s: float
    stages: tuple[StageAccount, ...]

    @property
    def attempts(self) -> tuple[AttemptSpent, ...]:
        """Of all stages."""
        return tuple(attempt for stage in self.stages for attempt in stage.attempts)

    @property
    def spent(self) -> Spent:
        """Seconds, by all attempts."""
        return total_of([each.spent for each in self.stages])

    @property
    def gpu_spent(self) -> Spent:
        """GPU-seconds, by all attempts."""
        return total_of([each.gpu_spent for each in self.stages])

    @property
    def queued(self) -> float:
        """Seconds in which a run of one stage at a time held nothing."""
        return self.wall_s - self.spent.allocated

    @property
    def preemptions(self) -> int:
        """Attempts that ended so."""
        return sum(each.was_preempted for each in self.attempts)

    @property
    def lost_steps(self) -> int:
        """Steps that were made twice, or never came to be saved."""
        return sum(each.lost_steps for each in self.attempts)


def account_of(runs: Path) -> Account:
    """Reads the newest run of a folder of runs."""
    with Ledger.open(ledger_url(runs, {}), create=False).read() as session:
        run = newest_run(session)
        if run is None:
            raise ValueError(f"{runs}: its ledger has no run")
        stages = stages_of(session, run.id)
    return account_for(stages, read_attempt)


def read_attempt(row: StageRun, attempt: Attempt) -> list[Event]:
    """The events of an attempt, from its file."""
    key = AttemptKey(attempt.slurm_id, attempt.restart)
    return list(read_events(RunFolder(Path(row.run.folder)).stage(row.stage).events_file(key)))


def account_for(rows: Sequence[StageRun], read: Read, *, now: float | None = None) -> Account:
    """The account of a run.

    Args:
        rows: Its stage runs, with run and attempts.
        read: Called once for each attempt that held nodes, so that no two files are in memory.
        now: Until when those count that still run, Unix seconds; None: they are left out.
    """
    stages = tuple(_of_stage(row, read, now) for row in rows)
    ends = [attempt.ended_at or now or 0.0 for row in rows for attempt in row.attempts]
    began = rows[0].run.created_at if rows else 0.0
    is_done = all(row.state in DONE_STATES for row in rows)
    return Account(is_done, max(0.0, max(ends, default=began) - began), stages)


def _of_stage(row: StageRun, read: Read, now: float | None) -> StageAccount:
    held = [each for each in row.attempts if each.started_at and (each.ended_at or now)]
    held.sort(key=lambda attempt: attempt.started_at or 0.0)
    found = list[AttemptSpent]()
    again = _goes_on_from(row, held[-1] if held else None)
    for attempt in reversed(held):
        events = read(row, attempt)
        gpus = (attempt.num_nodes or row.nodes) * row.gpus_per_node
        found.append(take_apart(row.stage, attempt, events, again, gpus=gpus, now=now))
        # One that did not come so far says nothing of what those before it had saved.
        first = _first(events, attempt)
        again = again if first is None else first if again is None else min(first, again)
    return StageAccount(row.stage, tuple(found[::-1]), sum(a.queued_s or 0.0 for a in row.attempts))


def _goes_on_from(row: StageRun, last: Attempt | None) -> int | None:
    """The step that a further attempt would go on from; None: the last one needs none."""
    if last is None or last.ended_at is None or row.state in DONE_STATES or not last.steps_lost:
        return None
    return max(0, (last.last_step or 0) - last.steps_lost)


def _first(events: Sequence[Event], attempt: Attempt) -> int | None:
    """The step that an attempt began at; None where it did not come so far."""
    found = [whole(event, "resume_step") for event in events if event.kind == "started"]
    return next((step for step in found if step is not None), attempt.first_step)
