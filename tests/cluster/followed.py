"""A run on the real cluster that a test passes over, looking at the queue each time."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from db.ledger import Ledger
from db.passes import last_pass
from db.schema import Pass, StageRun, Submission
from jobs.contract.paths import RunFolder, StageFolder
from launcher.cluster import Cluster, SlurmCluster
from launcher.cluster.base import JobRow, NoAnswer
from launcher.pipeline import Pipeline, load_pipeline
from launcher.reconcile.run_pass import Passing, Report
from tests.launcher.worlds import make_pipeline, open_ledger, stage_rows, states, submit_run

ROOT = Path(__file__).parents[2]
EVERY_S = 0.4


@dataclass
class Followed:
    """The runs of one ledger.

    Attributes:
        pipeline: Theirs.
        cluster: What the passes act on.
        ahead_s: By how much the launcher's clock is ahead of the real one.
    """

    pipeline: Pipeline
    cluster: Cluster
    ahead_s: float = 0.0
    reports: list[Report] = field(default_factory=list)

    @property
    def ledger(self) -> Ledger:
        """The ledger, opened anew."""
        return open_ledger(self.pipeline)

    @property
    def rows(self) -> dict[str, StageRun]:
        """Stage runs of the newest run."""
        return stage_rows(self.ledger)

    @property
    def rules(self) -> list[tuple[str, str]]:
        """Stage and rule of what the passes have done."""
        return [(d.stage, d.rule) for report in self.reports for d in report.done if d.said]

    @property
    def last_pass(self) -> Pass | None:
        """The newest pass in the ledger."""
        with self.ledger.read() as session:
            return last_pass(session)

    def folder(self, stage: str) -> StageFolder:
        """Where a stage's files lie."""
        return RunFolder(Path(self.rows[stage].run.folder)).stage(stage)

    def clock(self) -> float:
        """The launcher's."""
        return time.time() + self.ahead_s

    def passing(self) -> Passing:
        """Passes over the ledger."""
        return Passing(
            self.ledger, lambda _: self.cluster, load_pipeline, digest_bytes=1e9, clock=self.clock
        )

    def pass_once(self) -> Report:
        """One pass; before and after it no stage has two jobs that can train."""
        assert_one_job_a_stage(self.ledger)
        self.reports.append(self.passing().run())
        assert_one_job_a_stage(self.ledger)
        return self.reports[-1]

    def until(self, holds: Callable[[dict[str, str]], bool], limit_s: float = 120) -> None:
        """Passes until the states of the newest run are so."""
        give_up = time.monotonic() + limit_s
        while True:
            self.pass_once()
            now = states(self.ledger)
            if holds(now):
                return
            why = {name: row.why for name, row in self.rows.items()}
            assert time.monotonic() < give_up, (now, why, self.rules)
            time.sleep(EVERY_S)

    def until_done(self, limit_s: float = 120) -> None:
        """Passes until the newest run is done."""
        self.until(lambda now: set(now.values()) <= {"done", "reused"}, limit_s)

    def until_saved(self, stage: str, step: int, limit_s: float = 60) -> None:
        """Passes until a checkpoint of at least this step is there."""
        folder = self.folder(stage)
        self.until(lambda _: newest_step(folder) >= step, limit_s)


def newest_step(folder: StageFolder) -> int:
    """Step of the newest checkpoint folder with a manifest; -1 without any."""
    found = [path.parent.name for path in folder.checkpoints.glob("step-*/manifest.json")]
    return max((int(name.split("-")[1]) for name in found), default=-1)


def live_jobs() -> list[JobRow]:
    """The jobs that Slurm shows as able to run; none where it does not answer."""
    rows = SlurmCluster().live()
    return [] if isinstance(rows, NoAnswer) else [row for row in rows if row.live]


def assert_one_job_a_stage(ledger: Ledger) -> None:
    """No stage run has two jobs in the queue, and none of ours is unknown to the ledger."""
    of_token = tokens(ledger)
    ours = [of_token[t] for row in live_jobs() if (t := row.name.rpartition(".")[2]) in of_token]
    twice = {stage: count for stage, count in Counter(ours).items() if count > 1}
    assert not twice, twice


def tokens(ledger: Ledger) -> dict[str, int]:
    """The stage run of each submission, by token."""
    with ledger.read() as session:
        rows = session.execute(select(Submission.token, Submission.stage_run_id)).all()
        return {row.token: row.stage_run_id for row in rows}


def on_slurm(folder: Path, *overrides: str, partition: str = "preemptcancel") -> Pipeline:
    """The pipeline of three small jobs, for the real cluster."""
    settings = ["backend=slurm", "gpus_per_node=1", "tasks_per_node=1", f"partition={partition}"]
    return make_pipeline(folder, [*(f"cluster.{key}" for key in settings), *overrides])


def begin_requeue(pipeline: Pipeline, *args: str) -> "subprocess.Popen[str]":
    """Begins `launcher requeue` as cron does."""
    command = [sys.executable, "-m", "launcher", "requeue", "--runs", str(pipeline.runs), *args]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)


def ended(process: "subprocess.Popen[str]", limit_s: float = 60) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    out, err = process.communicate(timeout=limit_s)
    return process.returncode, out, err


def cancel_all() -> None:
    """Leaves nothing in the queue."""
    for row in live_jobs():
        SlurmCluster().cancel(row.slurm_id)


def submitting(pipeline: Pipeline, cluster: Cluster) -> Followed:
    """Submits a run, to be followed."""
    submit_run(pipeline, cluster)
    return Followed(pipeline, cluster)
