"""Random histories: the real pass over a real ledger, against the model cluster.

Each event is followed by what must hold after it; at the end the chaos ends, and within some passes
every stage must have come to an end that has a reason.
"""

import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from sqlalchemy import select

from db.lease import LeaseLostError
from db.ledger import Ledger
from db.queries import stages_of
from db.schema import StageRun
from db.states import OPEN_SUBMISSION_STATES, StageState
from launcher.acting import BusyError
from launcher.cluster.base import JobRequest
from launcher.pipeline import Pipeline
from launcher.reconcile.run_pass import Passing
from tests.launcher.model_cluster import KilledError, View
from tests.launcher.model_scheduler import Job, Scheduler
from tests.launcher.model_training import Training
from tests.launcher.pipelines import load
from tests.launcher.worlds import begin_run, open_ledger

UID_OF_ANOTHER = 4242
BEGAN = 1_700_000_000.0
LONGEST = 120
"""Passes after which all must have come to an end."""
OVER = (StageState.DONE, StageState.REUSED, StageState.FAILED, StageState.CANCELLED,
        StageState.HELD)  # fmt: skip
GAVE_UP = (StageState.FAILED, StageState.CANCELLED, StageState.HELD)
TEXT = """\
name: demo
model: {preset: tiny}
cluster: {backend: slurm, time_limit: 10m}
stages:
  one:
    train: &train
      entry: language_model
      lr: 1e-4
      batch_per_gpu: 4
      data: [{annotations: data/a.json, media: data}]
  two:
    needs: [one]
    train: *train
"""
THIRD = """\
  three:
    needs: [one, two]
    train: *train
"""


@dataclass
class Start:
    """A run of which nothing has been handed over, to be begun again and again.

    Attributes:
        folder: Where the world lies; its copy lies beside it.
        stages: Two, or three of which the last needs both.
    """

    folder: Path
    stages: int
    pipeline: Pipeline = field(init=False)
    ledger: Ledger = field(init=False)
    run_id: str = field(init=False)

    def __post_init__(self) -> None:
        (self.folder / "data").mkdir(parents=True)
        (self.folder / "data" / "a.json").write_text("[]")
        self.pipeline = load(self.folder, TEXT + (THIRD if self.stages > 2 else ""))
        run = begin_run(self.pipeline, View(Scheduler(BEGAN, 0)), BEGAN)
        shutil.rmtree(run.folder.code)
        self.run_id, self.ledger = run.id, open_ledger(self.pipeline)
        shutil.copytree(self.folder, f"{self.folder}.base")

    def again(self) -> None:
        """Puts the world back to its start."""
        shutil.rmtree(self.folder)
        shutil.copytree(f"{self.folder}.base", self.folder)


@dataclass
class World:
    """One history.

    Attributes:
        start: Where it begins.
        random: Chooses what happens.
        uid: Of the launcher's user.
        ahead_s: By how much the launcher's clock is ahead.
        wrong: What must never happen, and did.
        seen: What happened, counted.
        cancelled: Stages whose user has cancelled them, and which job it was.
        log: What happened, for the reader of a failure.
    """

    start: Start
    random: Random
    uid: int
    ahead_s: float = 0.0
    wrong: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    cancelled: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    excused: bool = False
    truth: Scheduler = field(init=False)
    training: Training = field(init=False)

    def __post_init__(self) -> None:
        self.start.again()
        self.truth = Scheduler(BEGAN + 10, self.uid)
        needs = {stage.name: stage.needs for stage in self.start.pipeline.stages}
        self.training = Training(self.truth, needs, self.wrong)

    def note(self, text: str) -> None:
        """Takes down what happened."""
        self.seen[text.split(":", maxsplit=1)[0]] += 1
        self.log.append(f"{self.truth.at - BEGAN:6.0f} s {text}")

    def clock(self) -> float:
        """The launcher's."""
        return self.truth.at + self.ahead_s

    def live_jobs(self, *, running: bool = False) -> list[Job]:
        """Jobs that nobody has taken the place of."""
        return [
            job
            for job in self.truth.jobs.values()
            if job.live and not job.lost and (job.running or not running) and self.is_newest(job)
        ]

    def is_newest(self, job: Job) -> bool:
        """Whether a job's submission is the last of its stage."""
        return int(job.request.folder.fence.read_text()) == job.fence

    def rows(self) -> Sequence[StageRun]:
        """The stages in the ledger."""
        with self.start.ledger.read() as session:
            return stages_of(session, self.start.run_id)

    def a_pass(self, view: View | None = None) -> None:
        """One pass; it may be killed, or find another one acting."""
        view = view or View(self.truth)
        view.asked, view.edges = self.check_request, self.check_edges
        passing = Passing(
            self.start.ledger,
            lambda _: view,
            lambda _: self.start.pipeline,
            digest_bytes=1e9,
            clock=self.clock,
            sleep=lambda _: None,
        )
        try:
            report = passing.run()
        except KilledError:
            self.note("killed")
        except (BusyError, LeaseLostError) as error:
            self.note(f"{type(error).__name__}")
        else:
            for done in report.done:
                self.note(f"{done.rule}: {done.stage} {done.action} {done.said or done.error}")
                if done.error.partition(": ")[0].endswith("Error"):
                    self.wrong.append(f"a bug: {done.error}")

    def check_request(self, view: View, request: JobRequest) -> None:
        """What must hold when a job is about to be submitted."""
        stage = request.stage
        alive = [job for job in self.truth.jobs.values() if job.stage == stage and job.live]
        for job in alive:
            if job.slurm_id in view.seen:
                self.wrong.append(f"resubmitted {stage} beside live job {job.slurm_id}")
            elif job.lost or job.late or self.excused:
                self.seen["hidden"] += 1
            else:
                self.wrong.append(f"resubmitted {stage} beside unseen job {job.slurm_id}")
        number = self.cancelled.get(stage)
        knowable = self.truth.accounts or number in self.truth.shown_ended
        if number is not None and knowable and not self.truth.jobs[number].ours:
            self.wrong.append(f"retried {stage}, which its user has cancelled")
        if stage in self.training.done:
            self.seen["submitted although done"] += 1
        self.check_edges(stage, request.parents)

    def check_edges(self, stage: str, parents: Sequence[str]) -> None:
        """A job must wait for every parent that is not done."""
        tied = {self.truth.jobs[number].stage for number in parents if number in self.truth.jobs}
        for parent in self.training.needs[stage]:
            if parent not in self.training.done and parent not in tied:
                self.wrong.append(f"{stage} does not wait for {parent}")

    def calm(self) -> None:
        """Ends the chaos, and lets the passes finish what is left."""
        self.truth.queue_silent = self.truth.past_silent = False
        self.truth.queue_lag_s = self.truth.past_lag_s = 0.0
        self.truth.sbatch.clear()
        for process in self.training.processes.values():
            process.hangs = False
        for _ in range(LONGEST):
            self.a_pass()
            if self.wrong or self.is_over():
                break
            self.truth.advance(self.random.choice((60, 600, 900)))
        self.check_end()

    def is_over(self) -> bool:
        """Whether nothing can happen any more."""
        gave_up: set[str] = set()
        columns = (StageRun.stage, StageRun.state, StageRun.needs)
        with self.start.ledger.read() as session:
            rows = session.execute(select(*columns).order_by(StageRun.position)).all()
        for row in rows:
            if row.state in GAVE_UP or gave_up.intersection(row.needs):
                gave_up.add(row.stage)
            elif row.state not in OVER:
                return False
        alive = [job for job in self.truth.jobs.values() if job.live]
        return not self.truth.late and all(
            job.hold or (job.waits_for and job.stage in gave_up) for job in alive
        )

    def check_end(self) -> None:
        """What must hold when the chaos is over."""
        if not self.wrong and not self.is_over():
            told = [(row.stage, str(row.state), row.rule, row.why) for row in self.rows()]
            alive = [(j.slurm_id, j.stage, j.reason) for j in self.truth.jobs.values() if j.live]
            self.wrong.append(f"stuck: {told}, live jobs {alive}")
        for row in self.rows():
            self.seen[f"end {row.state}"] += 1
            newest = row.submissions[-1]
            if row.state in (*GAVE_UP, StageState.DONE) and not row.rule:
                self.wrong.append(f"{row.stage} is {row.state} without a rule")
            if (row.state is StageState.DONE) is not (row.stage in self.training.done):
                self.wrong.append(f"{row.stage} is {row.state} ({row.rule}), on the disk it is not")
            for job in self.truth.jobs.values():
                is_open = newest.state in OPEN_SUBMISSION_STATES
                if job.live and job.stage == row.stage and not (self.is_newest(job) and is_open):
                    self.wrong.append(f"orphan: job {job.slurm_id} of {row.stage}")

    def stalled_pass(self, at: str) -> None:
        """A pass that sleeps in the middle, while another one takes its place."""
        slept: list[str] = []

        def sleep(call: str) -> None:
            if call == at and not slept:
                slept.append(call)
                self.excused = True
                self.truth.advance(self.random.choice((60, 400, 900)))
                self.a_pass()

        with suppress(KilledError):
            self.a_pass(View(self.truth, before=sleep))
