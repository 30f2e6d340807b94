"""Ledgers without a cluster behind them: one of known numbers, and one of any size."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from db.engine import ledger_url
from db.ledger import Ledger
from db.schema import Attempt, Checkpoint, Event, Pass, QuarantinedNode, Run, StageRun, Submission
from db.states import RunState, StageKind, StageState, SubmissionState

NOW = 1_800_000_000.0
DAY_S = 86_400.0


def small_ledger(folder: Path, *, run_id: str = "demo-1", url: str = "") -> Ledger:
    """A run whose first stage was reused, whose second runs its third attempt, on 2 x 4 GPUs."""
    ledger = Ledger.open(url or ledger_url(folder, {}), create=True)
    with ledger.write() as session:
        run = a_run(run_id, NOW - 20_000, RunState.RUNNING)
        run.stages = [
            a_stage("first", 0, StageState.REUSED, kind=StageKind.REUSE),
            a_stage("second", 1, StageState.RUNNING, needs=["first"]),
            a_stage("third", 2, StageState.HELD, needs=["second"], updated_at=NOW - 50),
        ]
        session.add(run)
        session.flush()
        second = run.stages[1]
        session.add_all(attempts_of(second, second.submissions[0].id))
        session.add_all(
            [
                a_checkpoint(run.stages[0].id, 0, NOW - 20_000, final=True),
                a_checkpoint(second.id, 100, NOW - 9_000),
                a_checkpoint(second.id, 150, NOW - 700),
                Event(run_id=run.id, at=NOW, kind="told", text='a "text",\nof two lines', data={}),
                Event(at=NOW, kind="told", text="", data={"loss": float("inf")}),
                a_pass(NOW - 300, degraded=False),
                a_pass(NOW - 120, degraded=True),
                a_pass(NOW - 3 * DAY_S, degraded=True),
                QuarantinedNode(
                    cluster="slurm", node="n7", reason="r", evidence="e", since=1.0, until=2 * NOW
                ),
            ]
        )
    return ledger


def attempts_of(stage: StageRun, submission_id: int) -> list[Attempt]:
    """Preempted after 100 saved steps of 120, failed before the first one, and going on."""
    common: dict[str, Any] = {
        "submission_id": submission_id,
        "stage_run_id": stage.id,
        "cluster": "slurm",
        "slurm_id": "7",
        "num_nodes": 2,
    }
    first = Attempt(
        **common, restart=0, state="PREEMPTED", cause="preemption", queued_at=NOW - 19_000,
        started_at=NOW - 18_000, ended_at=NOW - 16_750, wall_clock_s=1250.0, queued_s=1000.0,
        gpu_s=10_000.0, first_step=0, last_step=120, steps_gained=100, steps_lost=20,
        exit_kind=None, loss=2.0, step_s=10.0, work_s=1200.0,
    )  # fmt: skip
    failed = Attempt(
        **common, restart=1, state="FAILED", cause="failure", started_at=NOW - 10_000,
        ended_at=NOW - 9_750, wall_clock_s=250.0, queued_s=60.0, gpu_s=2_000.0, exit_kind="failed",
    )  # fmt: skip
    going_on = Attempt(
        **common, restart=2, state="RUNNING", started_at=NOW - 1_000, wall_clock_s=1000.0,
        queued_s=5.0, gpu_s=8_000.0, first_step=100, last_step=180, loss=1.25, step_s=10.0,
        work_s=800.0,
    )  # fmt: skip
    return [first, failed, going_on]


def big_ledger(folder: Path, *, runs: int, stages: int = 4, attempts: int = 3) -> Ledger:
    """Runs of which the newest twentieth goes on, and one more began each day before."""
    ledger = Ledger.open(ledger_url(folder, {}), create=True)
    with ledger.write() as session:
        rows = {kind: list(made) for kind, made in _rows(runs, stages, attempts)}
        for kind, made in rows.items():
            session.execute(insert(kind), made)
    return ledger


def _rows(runs: int, stages: int, attempts: int) -> Iterator[tuple[type, Iterator[dict]]]:
    going_on = runs - max(1, runs // 20)

    def ended(number: int) -> bool:
        return number < going_on

    ids = range(runs * stages)
    yield Run, (
        {
            "id": f"demo-{number:05}", "name": "demo", "folder": f"runs/demo-{number:05}",
            "pipeline_yaml": "name: demo\n" * 50, "code_sha": "abc", "code_dirty": False,
            "submitted_by": "someone", "created_at": NOW - (runs - number) * DAY_S,
            "state": RunState.DONE if ended(number) else RunState.RUNNING,
        }
        for number in range(runs)
    )  # fmt: skip
    yield StageRun, (
        {
            "id": n + 1, "run_id": f"demo-{n // stages:05}", "stage": f"stage{n % stages}",
            "position": n % stages, "kind": StageKind.TRAIN, "needs": [],
            "state": StageState.DONE if ended(n // stages) else StageState.RUNNING,
            "nodes": 4, "gpus_per_node": 8, "tasks_per_node": 8, "total_steps": 1000,
            "resumable": True, "cluster": "slurm",
            "updated_at": NOW - (runs - n // stages) * DAY_S,
        }
        for n in ids
    )  # fmt: skip
    yield Submission, (
        {
            "id": n + 1, "stage_run_id": n + 1, "token": f"t{n}", "fence": 1,
            "spec": {"stage": "x", "pad": "y" * 500}, "slurm_id": str(n), "parents": [],
            "state": SubmissionState.CLOSED, "created_at": NOW,
        }
        for n in ids
    )  # fmt: skip
    yield Attempt, (
        {
            "submission_id": n + 1, "stage_run_id": n + 1, "cluster": "slurm", "slurm_id": str(n),
            "restart": restart, "state": "PREEMPTED", "cause": "preemption",
            "queued_at": NOW - 900.5, "started_at": NOW - 800.25, "ended_at": NOW - 0.125,
            "wall_clock_s": 800.125, "queued_s": 100.25, "gpu_s": 25_604.0, "first_step": 0,
            "last_step": 100, "steps_gained": 90, "steps_lost": 10, "num_nodes": 4,
            "loss": 1 / 3, "step_s": 0.1, "work_s": 10.25,
        }
        for n in ids
        for restart in range(attempts)
    )  # fmt: skip
    yield Checkpoint, (
        {
            "stage_run_id": n + 1, "step": step, "path": f"/runs/{n}/{step}", "bytes": 10**12,
            "files": 8, "digest": "d" * 64, "final": False, "save_s": 3.5, "created_at": NOW,
        }
        for n in ids
        for step in (50, 90)
    )  # fmt: skip


def a_run(run_id: str, created_at: float, state: RunState) -> Run:
    """A run without stages."""
    return Run(
        id=run_id, name="demo", folder=f"runs/{run_id}", pipeline_yaml="name: demo\n",
        code_sha="abc", code_dirty=False, submitted_by="someone", created_at=created_at,
        state=state,
    )  # fmt: skip


def a_stage(
    name: str,
    position: int,
    state: StageState,
    *,
    kind: StageKind = StageKind.TRAIN,
    needs: list[str] | None = None,
    updated_at: float = NOW - 20_000,
) -> StageRun:
    """A stage of 200 steps, with a submission if it is a job."""
    intent = Submission(
        token=f"t-{name}", fence=1, spec={"stage": name, "lr": 1e-4}, parents=[], created_at=NOW,
        slurm_id="7", state=SubmissionState.SUBMITTED,
    )  # fmt: skip
    is_job = kind is not StageKind.REUSE
    return StageRun(
        stage=name, position=position, kind=kind, needs=needs or [], state=state, nodes=2,
        gpus_per_node=4, tasks_per_node=4, total_steps=200 if is_job else None, resumable=True,
        cluster="slurm", updated_at=updated_at, submissions=[intent] if is_job else [],
    )  # fmt: skip


def a_checkpoint(stage_run_id: int, step: int, at: float, *, final: bool = False) -> Checkpoint:
    """A checkpoint of 1000 bytes a step."""
    return Checkpoint(
        stage_run_id=stage_run_id, step=step, path=f"/c/{stage_run_id}/{step}", bytes=1000 * step,
        files=1, digest="d", final=final, save_s=0.1, created_at=at,
    )  # fmt: skip


def a_pass(ended_at: float, *, degraded: bool) -> Pass:
    """A pass of one second."""
    return Pass(
        started_at=ended_at - 1, ended_at=ended_at, degraded=degraded, queries=2, did=["x"],
        host="h", pid=1,
    )  # fmt: skip
