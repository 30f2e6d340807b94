"""A submitted run on paper in a person's hands."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from db.ledger import Ledger
from db.schema import StageRun, Submission
from db.states import SubmissionState
from launcher.acting import acting
from launcher.adopt import adopt
from launcher.cluster.base import JobRow, job_name
from launcher.pipeline import load_pipeline
from launcher.reconcile.run_pass import Passing, Report
from launcher.steer import Steering
from launcher.submit import NewRun
from launcher.wishes import Steered
from tests.launcher.paper import Paper
from tests.launcher.worlds import clock_of, make_pipeline, open_ledger, stage_rows, submit_run


class World:
    """`second` is job 101, `middle` 102, `third` 103.

    Attributes:
        at: The launcher's clock, Unix seconds.
    """

    def __init__(self, folder: Path, overrides: Sequence[str] = ()) -> None:
        self.at = 2000.0
        self.pipeline = make_pipeline(folder, ["cluster.backend=slurm", *overrides])
        self.paper = Paper()
        self.ledger: Ledger = open_ledger(self.pipeline)
        self.run: NewRun = submit_run(self.pipeline, self.paper, 1000.0)
        self.show(second="RUNNING")

    def row(self, stage: str, word: str, **fields: Any) -> JobRow:
        """What the queue says of a stage's first job."""
        known: dict[str, Any] = {
            "slurm_id": self.run.slurm_ids[stage],
            "restart": 0,
            "name": job_name(stage, self.run.tokens[stage]),
            "source": "squeue",
        }
        return JobRow(word=word, **(known | fields))

    def show(self, **words: str) -> None:
        """What the queue shows; stages that are not named wait for their parents."""
        self.paper.queue = [
            self.row(
                stage,
                words.get(stage, "PENDING"),
                reason="" if words.get(stage) == "RUNNING" else "Dependency",
            )
            for stage in self.run.tokens
        ]

    def forget(self, *stages: str) -> None:
        """The queue is empty; accounting says that this user cancelled these stages' jobs."""
        self.paper.queue = []
        self.paper.past = [
            self.row(
                stage,
                "CANCELLED",
                source="sacct",
                cancelled_by=os.getuid(),
                started_at=1000.0,
                ended_at=self.at,
            )
            for stage in stages
        ]

    def steered(self, wish: str, *names: str) -> Steered:
        """Steers the run."""
        with acting(self.ledger, clock_of(self.at)) as lease:
            found = getattr(Steering(lease, self.paper, self.run.id), wish)(names)
        assert isinstance(found, Steered)
        return found

    def steer(self, wish: str, *names: str) -> list[str]:
        """Steers the run; gives what was said, the done before the undone."""
        found = self.steered(wish, *names)
        return [*found.said, *found.undone, *found.refused]

    def adopt(self, slurm_id: str, stage: str) -> None:
        """Adopts a job."""
        with acting(self.ledger, clock_of(self.at)) as lease:
            adopt(lease, self.paper, self.run.id, stage, slurm_id)

    def passing(self) -> Passing:
        """Passes over the run."""
        return Passing(
            self.ledger,
            lambda _: self.paper,
            load_pipeline,
            digest_bytes=1e9,
            clock=clock_of(self.at),
            sleep=lambda _: None,
        )

    def pass_once(self, after_s: float = 60.0) -> Report:
        """One pass, some time later."""
        self.at += after_s
        return self.passing().run()

    @property
    def rows(self) -> dict[str, StageRun]:
        """The stage runs."""
        return stage_rows(self.ledger)

    def lose_answer(self, stage: str) -> None:
        """The ledger does not know what sbatch said of a stage's job just now."""
        with self.ledger.write() as session:
            row = session.get_one(Submission, self.rows[stage].submissions[-1].id)
            row.slurm_id, row.sent_at, row.state = None, self.at, SubmissionState.SUBMITTING


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The run, in the ledger that commands find."""
    monkeypatch.delenv("LAUNCHER_LEDGER", raising=False)
    monkeypatch.setenv("LAUNCHER_RUNS", str(tmp_path / "runs"))
    return World(tmp_path)
