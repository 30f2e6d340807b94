"""From evidence to the ledger: each state, and how few questions it takes."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from jobs.contract.command import Command
from jobs.contract.events import EventWriter
from jobs.contract.manifest import Manifest, describe, write_manifest
from jobs.contract.paths import AttemptKey, RunFolder, StageFolder
from launcher.cluster.base import JobRow, NoAnswer, job_name
from launcher.pipeline import Pipeline
from launcher.reconcile.refresh import Refreshed, refresh_run
from tests.launcher.paper import Paper
from tests.launcher.worlds import make_pipeline, open_ledger, stage_rows, states, submit_run


def with_command(pipeline: Pipeline, name: str, command: Command) -> Pipeline:
    """The pipeline with a program as one of its stages."""
    changed = {"kind": "command", "train": None, "command": command}
    stages = [
        dataclasses.replace(each, **changed) if each.name == name else each
        for each in pipeline.stages
    ]
    return dataclasses.replace(pipeline, stages=tuple(stages))


class World:
    """A submitted run on paper; `second` is job 101, `middle` 102, `third` 103."""

    def __init__(self, folder: Path, command: dict[str, Any] | None = None) -> None:
        self.pipeline = make_pipeline(folder)
        if command is not None:  # in the place of what `second` trains
            self.pipeline = with_command(self.pipeline, "second", Command.model_validate(command))
        self.paper = Paper()
        self.ledger = open_ledger(self.pipeline)
        self.run = submit_run(self.pipeline, self.paper, 1000.0)

    @property
    def second(self) -> StageFolder:
        return RunFolder(self.run.folder.root).stage("second")

    def row(self, word: str, source: Any = "squeue", **fields: Any) -> JobRow:
        """What the cluster says of the job of `second`."""
        name = job_name("second", self.run.tokens["second"])
        known = {"slurm_id": "101", "restart": 0, "name": name, "word": word, "source": source}
        return JobRow(**(known | fields))

    def tell(self, *events: tuple[str, dict[str, Any]], restart: int = 0) -> None:
        """Writes events of job 101."""
        writer = EventWriter(self.second.events_file(AttemptKey("101", restart)))
        for kind, fields in events:
            writer.write(kind, **fields)
        writer.close()

    def save(self, step: int, *, final: bool = False) -> Path:
        """Saves a checkpoint of `second`."""
        checkpoint = self.second.checkpoint(step, final=final)
        checkpoint.mkdir(parents=True)
        (checkpoint / "weights").write_text("weights")
        files = (describe(checkpoint / "weights", "weights"),)
        write_manifest(checkpoint, Manifest(step=step, files=files, final=final))
        return checkpoint

    def refresh(
        self,
        queue: Sequence[JobRow] | NoAnswer = (),
        past: Sequence[JobRow] | NoAnswer = (),
        *,
        at: float = 2000.0,
        digest_bytes: float = 1e9,
    ) -> Refreshed:
        self.paper.queue, self.paper.past = queue, past
        self.paper.asked.clear()
        return refresh_run(
            self.ledger,
            self.run.id,
            lambda _: self.paper,
            clock=lambda: at,
            digest_bytes=digest_bytes,
        )

    @property
    def state(self) -> str:
        return states(self.ledger)["second"]

    def attempts(self, *fields: str) -> list[tuple[Any, ...]]:
        attempts = stage_rows(self.ledger)["second"].attempts
        return [tuple(getattr(attempt, field) for field in fields) for attempt in attempts]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


STARTED = ("started", {"resume_step": 0, "total_steps": 100})
STEP_60 = ("step", {"step": 60, "epoch": 0, "loss": 0.5, "step_s": 2.0})
SAVED_50 = ("checkpoint", {"step": 50})


@pytest.mark.parametrize(
    ("word", "reason", "state"),
    [
        ("PENDING", "Resources", "pending"),
        ("PENDING", "Dependency", "waiting"),
        ("PENDING", "JobHeldUser", "held"),
        ("RUNNING", "", "running"),
        ("COMPLETING", "", "running"),
        ("TELEPORTING", "", "pending"),  # unknown: stays what it was
    ],
)
def test_live_job_gives_the_state(world: World, word: str, reason: str, state: str) -> None:
    world.refresh([world.row(word, reason=reason)])

    assert world.state == state


@pytest.mark.parametrize(
    ("word", "outcome", "state"),
    [
        ("FAILED", None, "interrupted"),  # it had made steps: it is tried again
        ("FAILED", "failed", "interrupted"),
        ("FAILED", "stopped", "interrupted"),  # 22.05 calls a save on a signal FAILED 75:0
        ("COMPLETED", "stopped", "interrupted"),
        ("COMPLETED", None, "interrupted"),  # and no done marker
        ("COMPLETED", "done", "interrupted"),
        ("FAILED", "refused", "failed"),
        ("PREEMPTED", None, "interrupted"),
        ("TIMEOUT", None, "interrupted"),
        ("NODE_FAIL", None, "interrupted"),
        ("OUT_OF_MEMORY", None, "failed"),
    ],
)
def test_ended_job_without_done_marker_gives_the_state(
    world: World, word: str, outcome: str | None, state: str
) -> None:
    world.tell(STARTED, STEP_60)
    if outcome:
        world.tell(("exit", {"outcome": outcome, "code": 1, "step": 60}))

    world.refresh(past=[world.row(word, "sacct", ended_at=1900.0)])

    assert world.state == state


@pytest.mark.parametrize("outcome", [None, "stopped"])
def test_job_cancelled_by_its_user_is_cancelled_whatever_it_said(
    world: World, outcome: str | None
) -> None:
    world.tell(("begin", {}), STARTED, STEP_60)
    if outcome:
        world.tell(("exit", {"outcome": outcome, "code": 75, "step": 60}))
    row = world.row(f"CANCELLED by {os.getuid()}", "sacct", cancelled_by=os.getuid())

    world.refresh(past=[row])

    assert world.state == "cancelled"


def test_job_cancelled_by_somebody_else_is_held(world: World) -> None:
    world.tell(("begin", {}), STARTED, STEP_60)

    world.refresh(past=[world.row("CANCELLED by 7", "sacct", cancelled_by=7)])

    assert world.state == "held"


def test_done_marker_is_the_proof_whatever_slurm_says(world: World) -> None:
    world.save(100, final=True)

    world.refresh(past=[world.row("FAILED", "sacct", ended_at=1900.0)])

    assert world.state == "done"


def test_damaged_final_checkpoint_is_no_done_marker(world: World) -> None:
    (world.save(100, final=True) / "weights").write_text("WEIGHTS")

    world.refresh(past=[world.row("COMPLETED", "sacct", ended_at=1900.0)])

    assert world.state == "held"
    assert stage_rows(world.ledger)["second"].checkpoints == []


def test_no_answer_changes_no_state_and_closes_no_attempt(world: World) -> None:
    world.refresh([world.row("RUNNING", started_at=1100.0)])
    world.tell(STARTED, STEP_60, ("exit", {"outcome": "failed", "code": 1}))

    seen = world.refresh(NoAnswer("squeue: Unable to contact slurm controller"))

    assert seen.no_answer == "squeue: Unable to contact slurm controller"
    assert world.state == "running"
    assert world.attempts("last_step", "ended_at") == [(60, None)]


def test_job_that_nobody_knows_stays_as_it_was(world: World) -> None:
    world.refresh([world.row("RUNNING")])

    seen = world.refresh()

    assert world.state == "running"
    assert "nobody knows its job" in seen.learned["second"].why


def test_without_accounting_the_jobs_own_last_word_counts(world: World) -> None:
    world.tell(STARTED, STEP_60, ("exit", {"outcome": "failed", "code": 1, "message": "NaN"}))

    world.refresh(past=NoAnswer("sacct: Slurm accounting storage is disabled"))

    assert world.state == "interrupted"
    assert world.attempts("cause", "message", "exit_code") == [("failure", "NaN", 1)]


def test_attempt_has_its_times_and_steps(world: World) -> None:
    world.tell(STARTED, SAVED_50, STEP_60)
    world.save(50)
    times = {"queued_at": 1010.0, "started_at": 1100.0, "ended_at": 1900.0}

    world.refresh(past=[world.row("PREEMPTED", "sacct", **times)])

    fields = ("queued_s", "wall_clock_s", "gpu_s", "steps_gained", "steps_lost", "cause")
    assert world.attempts(*fields) == [(90.0, 800.0, 0.0, 50, 10, "preemption")]


def test_program_without_checkpoints_gains_the_steps_that_no_attempt_had_told(tmp_path) -> None:
    world = World(tmp_path, command={"argv": ["true"], "checkpoints": "none"})
    for restart, step in enumerate((300, 200, 500)):
        world.tell(STARTED, ("step", {"step": step, "step_s": 2.0}), restart=restart)
        past = [world.row("REQUEUED", "sacct", restart=n, ended_at=1500.0) for n in range(restart)]
        last = world.row("PREEMPTED", "sacct", restart=restart, started_at=1100.0, ended_at=1900.0)
        world.refresh(past=[*past, last])

    assert world.attempts("last_step", "steps_gained", "steps_lost") == [
        (300, 300, None),
        (200, 0, None),
        (500, 200, None),
    ]


def test_requeued_job_has_two_attempts_and_the_first_is_closed(world: World) -> None:
    world.tell(STARTED, SAVED_50, STEP_60)
    world.refresh([world.row("RUNNING", started_at=1100.0, queued_at=1010.0)])

    world.refresh(
        [world.row("PENDING", restart=1, reason="BeginTime", queued_at=1500.0)],
        [world.row("REQUEUED", "sacct", started_at=1100.0, queued_at=1010.0, ended_at=1499.0)],
    )

    assert world.attempts("restart", "state", "ended_at", "steps_lost") == [
        (0, "REQUEUED", 1499.0, 10),
        (1, "PENDING", None, None),
    ]
    assert world.state == "pending"


def test_requeue_is_closed_without_accounting_too(world: World) -> None:
    world.tell(STARTED, STEP_60)
    row = world.row("PENDING", restart=1, queued_at=1500.0)

    world.refresh([row], NoAnswer("sacct: no accounting"))

    assert world.attempts("restart", "ended_at") == [(0, 1500.0), (1, None)]


def test_refreshing_twice_changes_nothing(world: World) -> None:
    world.tell(STARTED, SAVED_50, STEP_60)
    world.save(50)
    past = [world.row("PREEMPTED", "sacct", started_at=1100.0, ended_at=1900.0)]
    world.refresh(past=past)
    fields = ("id", "state", "ended_at", "wall_clock_s", "steps_lost")
    attempts = world.attempts(*fields)

    world.refresh(past=past, at=3000.0)

    assert world.attempts(*fields) == attempts
    assert len(stage_rows(world.ledger)["second"].checkpoints) == 1


def test_live_jobs_take_one_question(world: World) -> None:
    rows = [world.row("RUNNING")]
    rows += [
        dataclasses.replace(rows[0], slurm_id=slurm_id, name=job_name(name, token))
        for slurm_id, (name, token) in zip(
            ("101", "102", "103"), world.run.tokens.items(), strict=True
        )
    ][1:]

    seen = world.refresh(rows)

    assert (world.paper.asked, seen.queries) == (["live"], 1)


def test_all_jobs_that_are_not_live_take_one_more_question(world: World) -> None:
    seen = world.refresh()

    assert (world.paper.asked, seen.queries) == (["live", "history of 101 102 103"], 2)


def test_run_whose_stages_have_ended_takes_no_question(world: World) -> None:
    for stage in ("second", "middle", "third"):
        checkpoint = RunFolder(world.run.folder.root).stage(stage).checkpoint(1, final=True)
        checkpoint.mkdir(parents=True)
        write_manifest(checkpoint, Manifest(step=1, files=(), final=True))
    world.refresh()

    seen = world.refresh()

    assert (world.paper.asked, seen.queries) == ([], 0)
    assert seen.stages[0].run.state == "done"


def test_same_number_of_another_job_is_not_ours(world: World) -> None:
    world.refresh(past=[world.row("FAILED", "sacct", name="somebody else's", ended_at=900.0)])

    assert world.state == "pending"


def test_digests_are_read_once(world: World) -> None:
    checkpoint = world.save(50)
    world.refresh([world.row("RUNNING")])
    (checkpoint / "weights").write_text("WEIGHTS")  # same size

    world.refresh([world.row("RUNNING")], at=3000.0)

    rows = stage_rows(world.ledger)["second"].checkpoints
    assert [(row.step, row.bytes, row.verified_at) for row in rows] == [(50, 7, 2000.0)]


def test_large_checkpoint_waits_for_who_has_time_to_verify_it(world: World) -> None:
    world.save(50)
    world.refresh([world.row("RUNNING")], digest_bytes=6)
    assert stage_rows(world.ledger)["second"].checkpoints[0].verified_at is None

    world.refresh([world.row("RUNNING")], digest_bytes=7)

    assert stage_rows(world.ledger)["second"].checkpoints[0].verified_at == 2000.0
