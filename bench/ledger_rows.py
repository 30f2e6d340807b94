"""Rows of a ledger as months of work would leave them, for `bench.large_ledger`."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Table

from bench.program import ROOT
from db.schema import Attempt, Base, Checkpoint, Event, Pass, Run, StageRun, Submission
from jobs.contract.events import EventWriter
from jobs.contract.paths import AttemptKey, RunFolder
from launcher.cluster.base import job_name
from launcher.identity import user_name

STAGES = ("stage1", "stage2", "stage3", "mvbench")
NAMES = ("videochat2-mistral", "videochat2-vicuna", "videochat2-phi3")
STEP_S, STEPS, GPUS = 1.5, 6000, 32
GAP_S = 1800.0
"""Between two submissions of runs."""
PASS_S = 120.0
CHECKPOINTS = 3
"""That an attempt leaves behind."""
ENDINGS = (
    *[("PREEMPTED", "preemption", "stopped", 75)] * 6,
    *[("TIMEOUT", "time limit", "stopped", 75)] * 3,
    ("NODE_FAIL", "node failure", None, None),
    ("FAILED", "failure", "failed", 1),
)
Row = dict[str, Any]


@dataclass
class Rows:
    """Rows by table, in an order that foreign keys allow.

    Attributes:
        chance: Decides what happened.
        found: The rows.
    """

    chance: random.Random

    found: dict[type[Base], list[Row]] = field(
        default_factory=lambda: {
            table: [] for table in (Run, StageRun, Submission, Attempt, Checkpoint, Event, Pass)
        }
    )

    def add(self, table: type[Base], **values: object) -> int:
        """Adds a row and gives its number."""
        rows = self.found[table]
        if table is not Run:
            values["id"] = len(rows) + 1
        rows.append(values)
        return len(rows)


def make_rows(
    runs: Path, stages: int, attempts: int, chance: random.Random, *, now: float
) -> dict[Table, list[Row]]:
    """The rows of so many stage runs with so many attempts in all, and the newest run's files.

    Args:
        runs: The folder of runs; the newest run, which goes on, has a folder in it.
        stages: How many stage runs; each run has three or four.
        attempts: How many attempts they share.
        chance: Decides what happened.
        now: Unix seconds.
    """
    rows, sizes = Rows(chance), list(_sizes(stages, chance))
    counts = _counts(stages, attempts, chance)
    for number, size in enumerate(sizes):
        at = now - (len(sizes) - number) * GAP_S - 20_000
        shares = [counts.pop() for _ in range(size)]
        if number == len(sizes) - 1:  # its third stage waits: the second has those attempts too
            shares[1:] = [sum(shares[1:]), *[0] * (size - 2)]
        _add_run(rows, runs, number, shares, at, is_last=number == len(sizes) - 1)
    _add_passes(rows, now, min(30 * 86_400.0, len(sizes) * GAP_S))
    return {table.__table__: found for table, found in rows.found.items() if found}


def _sizes(stages: int, chance: random.Random) -> Iterator[int]:
    while stages:
        size = stages if stages <= 4 else 3 if stages == 6 else chance.choice((3, 4))
        size = size if stages - size not in (1, 2) else size - 1 if size == 4 else 4
        yield size
        stages -= size


def _counts(stages: int, attempts: int, chance: random.Random) -> list[int]:
    """How many attempts each stage run has: one at least, few of them many."""
    counts = [1] * stages
    for _ in range(attempts - stages):
        counts[min(chance.randrange(stages), chance.randrange(stages))] += 1
    chance.shuffle(counts)
    return counts


def _add_run(
    rows: Rows,
    runs: Path,
    number: int,
    shares: list[int],
    at: float,
    *,
    is_last: bool,
) -> None:
    name = NAMES[number % len(NAMES)]
    run_id = f"{name}-{number:06}"
    state = (
        "running" if is_last else rows.chance.choices(("done", "failed", "cancelled"), (8, 1, 1))[0]
    )
    rows.add(
        Run,
        id=run_id,
        name=name,
        folder=str(runs / run_id),
        pipeline_yaml=(ROOT / "pipeline.yaml").read_text(encoding="utf-8"),
        code_sha=f"{number:040x}",
        code_dirty=False,
        submitted_by=user_name() if is_last or number % 3 else "colleague",
        created_at=at,
        state=state,
    )
    _event(rows, run_id, None, at, "run_created", f"run {run_id} was created")
    until = at
    for position, count in enumerate(shares):
        is_final = position == len(shares) - 1
        is_open = is_last and position == min(1, len(shares) - 1)
        waits = is_last and position > 1
        word = "waiting" if waits else "running" if is_open else "done"
        word = state if is_final and not is_last else word
        stage_run = _add_stage(rows, run_id, position, word, until)
        if not waits:
            until = _add_attempts(rows, run_id, stage_run, count, until, is_open=is_open)
        elif is_final or waits:
            _submission(rows, stage_run, 1, str(900_000 + stage_run), until, is_open=False)
    if is_last:
        _write_files(rows, runs)


def _add_stage(rows: Rows, run_id: str, position: int, word: str, at: float) -> int:
    return rows.add(
        StageRun,
        run_id=run_id,
        stage=STAGES[position],
        position=position,
        kind="evaluate" if position == len(STAGES) - 1 else "train",
        needs=[STAGES[position - 1]] if position else [],
        state=word,
        nodes=4,
        gpus_per_node=8,
        tasks_per_node=8,
        total_steps=None if word == "waiting" else STEPS,
        resumable=True,
        cluster="slurm",
        updated_at=at,
    )


def _submission(
    rows: Rows, stage_run: int, fence: int, slurm_id: str, at: float, *, is_open: bool
) -> int:
    return rows.add(
        Submission,
        stage_run_id=stage_run,
        token=f"t{stage_run:06}{fence:03}",
        fence=fence,
        spec={"cluster": {"nodes": 4, "partition": "preempt"}, "requeue": {}},
        slurm_id=slurm_id,
        state="submitted" if is_open else "closed",
        parents=[],
        created_at=at,
        submitted_at=at,
        sent_at=at,
        rule="interrupted" if fence > 1 else None,
    )


def _add_attempts(
    rows: Rows,
    run_id: str,
    stage_run: int,
    count: int,
    at: float,
    *,
    is_open: bool,
) -> float:
    """Adds a stage's attempts, submissions, checkpoints and events; gives when the last ended."""
    step, fence, restart, submission = 0, 0, 0, 0
    for number in range(count):
        is_end = number == count - 1
        if number == 0 or rows.chance.random() < 0.3:
            fence, restart = fence + 1, 0
            opens = is_open and is_end
            submission = _submission(
                rows, stage_run, fence, f"{stage_run * 100 + fence}", at, is_open=opens
            )
        elif is_end and is_open:
            restart += 1
            rows.found[Submission][submission - 1]["state"] = "submitted"
        else:
            restart += 1
        target = STEPS if is_end and not is_open else step + (STEPS - step) // (count - number + 1)
        at = _attempt(
            rows, run_id, stage_run, submission, restart, (step, target), at,
            ends="no" if is_end and is_open else "done" if is_end else "badly",
        )  # fmt: skip
        step = target
    return at


def _attempt(
    rows: Rows,
    run_id: str,
    stage_run: int,
    submission: int,
    restart: int,
    steps: tuple[int, int],
    at: float,
    *,
    ends: str,
) -> float:
    queued_s, (first, target) = rows.chance.expovariate(1 / 600), steps
    lost = 0 if ends != "badly" else rows.chance.choice((0, 0, 0, 12, 140))
    wall_s = 90 + (target - first + lost) * STEP_S * 1.05
    started_at, ended_at = at + queued_s, at + queued_s + wall_s
    word, cause, kind, code = rows.chance.choice(ENDINGS)
    if ends == "done":
        word, cause, kind, code = "COMPLETED", None, "done", 0
    slurm_id = rows.found[Submission][submission - 1]["slurm_id"]
    attempt = rows.add(
        Attempt,
        submission_id=submission,
        stage_run_id=stage_run,
        cluster="slurm",
        slurm_id=slurm_id,
        restart=restart,
        state="RUNNING" if ends == "no" else word,
        cause=None if ends == "no" else cause,
        queued_at=at,
        started_at=started_at,
        ended_at=None if ends == "no" else ended_at,
        wall_clock_s=wall_s,
        queued_s=queued_s,
        gpu_s=wall_s * GPUS,
        first_step=first,
        last_step=target + lost,
        total_steps=STEPS,
        steps_gained=None if ends == "no" else target - first,
        steps_lost=None if ends == "no" else lost,
        nodes="node[001-004]",
        num_nodes=4,
        exit_code=None if ends == "no" else code,
        exit_kind=None if ends == "no" else kind,
        loss=2.0 / (1 + target / 500),
        step_s=STEP_S,
        work_s=(target + lost - first) * STEP_S,
    )
    is_done = ends == "done"
    _checkpoints(rows, run_id, stage_run, attempt, steps, started_at, is_done=is_done)
    _event(rows, run_id, stage_run, started_at, "stage_state", "went from pending to running")
    if ends != "no":
        _event(rows, run_id, stage_run, ended_at, "stage_state", f"went on: {cause}")
        _event(rows, run_id, stage_run, ended_at + 60, "decided", "resubmit, it was interrupted")
    return ended_at


def _checkpoints(
    rows: Rows,
    run_id: str,
    stage_run: int,
    attempt: int,
    steps: tuple[int, int],
    started_at: float,
    *,
    is_done: bool,
) -> None:
    first, target = steps
    for number in range(CHECKPOINTS):
        done = first + (target - first) * (number + 1) // CHECKPOINTS
        final = is_done and number == CHECKPOINTS - 1
        rows.add(
            Checkpoint,
            stage_run_id=stage_run,
            attempt_id=attempt,
            step=done,
            path=f"{run_id}/{stage_run}/step-{done:08}-{attempt}-{number}",
            bytes=3_000_000_000,
            files=33,
            digest="0" * 64,
            verified_at=started_at + 60 * number,
            final=final,
            save_s=41.0,
            created_at=started_at + 60 * number,
        )


def _event(rows: Rows, run_id: str, stage_run: int | None, at: float, kind: str, text: str) -> None:
    data: dict[str, object] = {"rule": "interrupted"} if kind == "decided" else {}
    rows.add(Event, run_id=run_id, stage_run_id=stage_run, at=at, kind=kind, text=text, data=data)


def _add_passes(rows: Rows, now: float, past_s: float) -> None:
    for number in range(int(past_s / PASS_S)):
        at = now - past_s + number * PASS_S
        rows.add(
            Pass,
            started_at=at,
            ended_at=at + 1.0,
            degraded=False,
            queries=2,
            did=[],
            host="login1",
            pid=number,
        )


def _write_files(rows: Rows, runs: Path) -> None:
    """The event file of the job that runs, and its name in Slurm for a stand-in of squeue."""
    submission = next(row for row in rows.found[Submission] if row["state"] == "submitted")
    stage = rows.found[StageRun][submission["stage_run_id"] - 1]
    attempt = next(row for row in rows.found[Attempt][::-1] if row["state"] == "RUNNING")
    folder = RunFolder(runs / stage["run_id"]).stage(stage["stage"])
    key = AttemptKey(attempt["slurm_id"], attempt["restart"])
    events = EventWriter(folder.events_file(key))
    first = attempt["first_step"]
    events.write("begin", hosts=["node001"], world_size=32)
    events.write("started", resume_step=first, total_steps=STEPS)
    for step in range(first + 10, attempt["last_step"] + 1, 10):
        events.write("step", step=step, epoch=0, loss=1.0, step_s=STEP_S, samples_seen=step * 512)
    events.close()
    live = {
        "slurm_id": key.slurm_id,
        "restart": key.restart,
        "name": job_name(stage["stage"], submission["token"]),
        "started_at": attempt["started_at"],
    }
    (runs / "live.json").write_text(json.dumps(live))
