"""Where the allocated time of a run went, by its ledger and its event files."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path

from db.engine import ledger_url
from db.ledger import Ledger
from db.queries import newest_run, stages_of
from db.schema import Attempt, StageRun
from jobs.contract.events import Event, read_events
from jobs.contract.paths import AttemptKey, RunFolder
from launcher.cluster.states import Ending

STOPPED = "stopped"
"""How the event file calls an end on a signal."""


@dataclass(frozen=True)
class Spent:
    """Seconds of allocations; the parts come to `allocated`.

    Attributes:
        allocated: From the start of a job to its end, as Slurm knows them.
        steps: Of steps that survived, without the wait for their data.
        data: Of their wait for data.
        lost: Of steps that were made again.
        start: Until the first step came.
        saves: That a save held training, while there were steps to come.
        end: From the last step until the job was gone; the save on a signal or at the end is in it.
    """

    allocated: float = 0.0
    steps: float = 0.0
    data: float = 0.0
    lost: float = 0.0
    start: float = 0.0
    saves: float = 0.0
    end: float = 0.0

    @property
    def other(self) -> float:
        """What no event explains."""
        return self.allocated - sum(getattr(self, each.name) for each in fields(self)[1:])

    @property
    def goodput(self) -> float:
        """Part of the allocated time that went into steps that survived."""
        return self.steps / self.allocated if self.allocated else 0.0

    def __add__(self, other: "Spent") -> "Spent":
        names = [each.name for each in fields(self)]
        return Spent(**{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(frozen=True)
class AttemptSpent:
    """One attempt of a stage.

    Attributes:
        stage: The stage's name.
        was_preempted: By the ledger, or because it stopped on a signal: then Slurm's word for
            its end is that the job put itself back into the queue.
        lost_steps: That the next attempt made again.
        step_s: Of a step, by its means; None: none was told.
        save_s: Longest of its saves.
        spent: Its seconds.
    """

    stage: str
    was_preempted: bool
    lost_steps: int
    step_s: float | None
    save_s: float
    spent: Spent


@dataclass(frozen=True)
class Account:
    """A whole run.

    Attributes:
        is_done: It came to its end.
        wall_s: From its submission to the end of its last job.
        attempts: In order.
    """

    is_done: bool
    wall_s: float
    attempts: tuple[AttemptSpent, ...]

    @property
    def spent(self) -> Spent:
        """By all attempts."""
        return sum((each.spent for each in self.attempts), Spent())

    @property
    def queued(self) -> float:
        """Seconds in which it held nothing."""
        return self.wall_s - self.spent.allocated

    @property
    def preemptions(self) -> int:
        """Attempts that ended so."""
        return sum(each.was_preempted for each in self.attempts)

    @property
    def lost_steps(self) -> int:
        """Steps that were made twice."""
        return sum(each.lost_steps for each in self.attempts)


def account_of(runs: Path) -> Account:
    """Reads the newest run of a folder of runs."""
    with Ledger.open(ledger_url(runs, {}), create=False).read() as session:
        run = newest_run(session)
        if run is None:
            raise ValueError(f"{runs}: its ledger has no run")
        rows = stages_of(session, run.id)
        folder = RunFolder(Path(run.folder))
        attempts = [each for row in rows for each in _of_stage(row, folder)]
        ends = [attempt.ended_at or 0.0 for row in rows for attempt in row.attempts]
        is_done = all(row.state in ("done", "reused") for row in rows)
        return Account(is_done, max(ends, default=0.0) - run.created_at, tuple(attempts))


def _of_stage(row: StageRun, folder: RunFolder) -> list[AttemptSpent]:
    held = [attempt for attempt in row.attempts if attempt.started_at and attempt.ended_at]
    held.sort(key=lambda attempt: attempt.started_at or 0.0)
    told = [_events(folder, row.stage, attempt) for attempt in held]
    found, again = list[AttemptSpent](), None
    for attempt, events in reversed(list(zip(held, told, strict=True))):
        found.append(take_apart(row.stage, attempt, events, again))
        # One that did not come so far says nothing of what the one before had saved.
        again = _first(events) if _first(events) is not None else again
    return found[::-1]


def _events(folder: RunFolder, stage: str, attempt: Attempt) -> list[Event]:
    key = AttemptKey(attempt.slurm_id, attempt.restart)
    return list(read_events(folder.stage(stage).events_file(key)))


def _first(events: Sequence[Event]) -> int | None:
    """The step that an attempt began at; None where it did not come so far."""
    found = [event.fields["resume_step"] for event in events if event.kind == "started"]
    return found[0] if found else None


def take_apart(
    stage: str, attempt: Attempt, events: Sequence[Event], again: int | None
) -> AttemptSpent:
    """Takes an attempt apart.

    Args:
        stage: Its stage.
        attempt: As the ledger has it: started and ended. Slurm knows both to a second.
        events: Those it has told.
        again: The step that a later attempt went on from; None: there is none.
    """
    began, ended = attempt.started_at or 0.0, attempt.ended_at or 0.0
    was_preempted = attempt.cause == Ending.PREEMPTED or attempt.exit_kind == STOPPED
    starts = [event for event in events if event.kind == "started"]
    steps = [event for event in events if event.kind == "step"]
    if not starts or not steps:
        spent = Spent(allocated=ended - began, start=ended - began)
        return AttemptSpent(stage, was_preempted, 0, None, 0.0, spent)
    first, last = starts[0], steps[-1]
    made = last.fields["step"] - first.fields["resume_step"]
    saves = [event for event in events if event.kind == "checkpoint"]
    work, data = _work(first, steps)
    lost = max(0, last.fields["step"] - again) if again is not None else 0
    share = lost / made if made else 0.0
    spent = Spent(
        allocated=ended - began,
        steps=work * (1 - share),
        data=data * (1 - share),
        lost=(work + data) * share,
        start=first.at - began,
        saves=sum(save.fields.get("held_s", 0.0) for save in saves if save.at <= last.at),
        end=ended - last.at,
    )
    save_s = max((save.fields.get("save_s", 0.0) for save in saves), default=0.0)
    return AttemptSpent(stage, was_preempted, lost, work / made if made else None, save_s, spent)


def _work(first: Event, steps: Sequence[Event]) -> tuple[float, float]:
    """Seconds of work and of waiting for data; an evaluation tells no more than where it is."""
    if "step_s" not in steps[0].fields:
        return steps[-1].at - first.at, 0.0
    at = [first.fields["resume_step"], *(event.fields["step"] for event in steps)]
    counts = [later - earlier for earlier, later in pairwise(at)]
    told = [(event.fields["step_s"], event.fields["data_s"]) for event in steps]
    whole = sum(n * step_s for n, (step_s, _) in zip(counts, told, strict=True))
    data = sum(n * data_s for n, (_, data_s) in zip(counts, told, strict=True))
    return whole - data, data
