"""A rank's view of the attempt that it is part of, and the two ways to end it early."""

from dataclasses import dataclass, field
from pathlib import Path

from jobs.contract.events import EventWriter
from jobs.contract.manifest import done_marker
from jobs.contract.paths import RunFolder, StageFolder
from jobs.contract.spec import StageSpec
from jobs.contract.task import StageTask
from jobs.distributed import Place
from jobs.faults import DETERMINISTIC
from jobs.startup import Clock
from jobs.stop import StopFlag
from jobs.watch.news import CARRIERS, News


class RefusedError(Exception):
    """This attempt must not run as it is, and running it again would not help (exit 93).

    Attributes:
        fault: `parents`: one is not done; `fenced`: a newer submission or attempt exists;
            `checkpoints`: there are some, none of them valid; else `deterministic`.
        report: File that says more, if there is one.
    """

    def __init__(
        self, message: str, *, fault: str = DETERMINISTIC, report: Path | None = None
    ) -> None:
        super().__init__(message)
        self.fault, self.report = fault, report


class StoppedError(Exception):
    """The stage stopped before its end, for another attempt to go on (exit 75).

    Rank 0 raises it when every rank has saved: it then puts the job back into Slurm's queue,
    and Slurm kills the ranks that are left.

    Attributes:
        step: The optimizer step that is safe on the disk; None: not known yet.
    """

    def __init__(self, step: int | None, message: str = "") -> None:
        where = "before the first step" if step is None else f"at step {step}"
        super().__init__(message or f"stopped on a signal {where}")
        self.step = step


@dataclass
class Reached:
    """How far an attempt has come, for the events that tell its end.

    Attributes:
        step: The last optimizer step that was done, in this attempt or before it.
    """

    step: int | None = None


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
        reached: How far it has come; the stage's program keeps it.
        clock: Where the seconds of the start go.
        news: What the next line tells besides.
    """

    task: StageTask
    spec: StageSpec
    run: RunFolder
    place: Place
    stop: StopFlag
    events: EventWriter | None
    reached: Reached = field(default_factory=Reached)
    clock: Clock = field(default_factory=Clock)
    news: News = field(default_factory=News)

    @property
    def folder(self) -> StageFolder:
        """The stage's folder."""
        return self.run.stage(self.task.stage)

    def tell(self, kind: str, **fields: object) -> None:
        """Writes an event, on rank 0."""
        if self.events is not None:
            news = self.news.take() if kind in CARRIERS else {}
            self.events.write(kind, **(news | fields))

    def taken_over(self) -> str | None:
        """Who has taken the stage over; this attempt is a zombie then, and must not save.

        A newer submission, or a newer attempt of the same job: on a node that Slurm has given
        up the ranks may live on.
        """
        try:
            if int(self.folder.fence.read_text()) > self.task.fence:
                return f"a newer submission than number {self.task.fence} of this stage exists"
        except FileNotFoundError:
            pass  # handed over by something else than the launcher
        own = self.place.attempt
        told = self.folder.events.glob(f"{own.slurm_id}.*.jsonl")
        restarts = [path.stem.removeprefix(f"{own.slurm_id}.") for path in told]
        if any(restart.isdigit() and int(restart) > own.restart for restart in restarts):
            return f"a newer attempt of this job than {own} exists"
        return None

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
                f"stage {self.spec.stage}: no final weights of stage {self.spec.init_from}",
                fault="parents",
            )
        return found[0] / found[1].weights

    def required_weights(self) -> Path:
        """The same, for a stage that cannot start from nothing; raises RefusedError."""
        weights = self.initial_weights()
        if weights is None:
            raise RefusedError(f"stage {self.spec.stage}: needs a stage to start from; add `needs`")
        return weights
