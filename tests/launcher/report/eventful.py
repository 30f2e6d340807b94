"""Runs to tell of: ledger and event files of preemptions, failures and a lost node, made up.

Seeded, so that a page can be looked at again.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from db import record
from db.engine import ledger_url
from db.ledger import Ledger
from db.schema import Attempt, Checkpoint, Run, StageRun, Submission
from db.states import RunState, StageKind, StageState, SubmissionState
from jobs.contract.paths import AttemptKey, RunFolder

BEGAN = 1_790_000_000.0
STEP_S, DATA_S, START_S, SAVE_S = 2.4, 0.1, 180.0, 20.0
MESSAGES = {
    "node failure": "",
    "failure": "RuntimeError: CUDA error: an illegal memory access was encountered",
    "preemption": "",
    "stop signal": "SIGUSR2: saved step and stopped",
    "time limit": "",
}


@dataclass
class Made:
    """A run that is being made up.

    Attributes:
        runs: The folder of runs.
        seed: Of what happens.
        name: Of the pipeline; hostile where the test wants it so.
        message: Of each failure; empty: what failures say.
        told_every: Steps between two `step` events.
        gpus_per_node: Of each stage.
    """

    runs: Path
    seed: int = 0
    name: str = "videochat2"
    message: str = ""
    told_every: int = 5
    gpus_per_node: int = 8
    run: Run = field(init=False)
    at: float = BEGAN
    files: list[tuple[Path, list[dict[str, Any]]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.run = Run(
            id=f"{self.name}-20260921-1ec9",
            name=self.name,
            folder=str(self.runs / "made"),
            pipeline_yaml=f"name: {self.name}\nstages:\n  stage2: {{train: {{entry: stage2}}}}\n",
            code_sha="ae454e876a05ae454e876a05ae454e876a05ae45",
            code_dirty=False,
            submitted_by="somebody",
            created_at=BEGAN,
            state=RunState.RUNNING,
        )

    def stage(
        self, name: str, position: int, attempts: int, steps: int, kind: StageKind = StageKind.TRAIN
    ) -> "MadeStage":
        """A stage whose attempts are still to come."""
        row = StageRun(
            stage=name,
            position=position,
            kind=kind,
            needs=[],
            state=StageState.DONE,
            nodes=4,
            gpus_per_node=self.gpus_per_node,
            tasks_per_node=8,
            total_steps=steps,
            resumable=True,
            cluster="slurm",
            updated_at=self.at,
            rule="final",
            submissions=[
                Submission(
                    token=f"{self.run.id}-{name}",
                    fence=1,
                    spec={},
                    parents=[],
                    created_at=self.at,
                    slurm_id=str(4000 + position),
                    state=SubmissionState.CLOSED,
                )
            ],
        )
        self.run.stages.append(row)
        return MadeStage(self, row, attempts, steps)

    def write(self, stages: "list[MadeStage]") -> Ledger:
        """Writes the ledger and the event files."""
        ledger = Ledger.open(ledger_url(self.runs, {}), create=True)
        with ledger.write() as session:
            record.create_run(session, self.run)
            for stage in stages:
                stage.keep(session)
        for path, events in self.files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{json.dumps(event)}\n" for event in events))
        return ledger


@dataclass
class MadeStage:
    """One stage of it."""

    made: Made
    row: StageRun
    attempts: int
    steps: int
    found: list[Attempt] = field(default_factory=list)
    saved: list[Checkpoint] = field(default_factory=list)

    def go(self) -> "MadeStage":
        """Makes up all attempts."""
        step, each = 0, max(1, self.steps // self.attempts)
        for number in range(self.attempts):
            is_last = number == self.attempts - 1
            ending = "done" if is_last else self.made.random.choice([*MESSAGES, "preemption"])
            goal = self.steps if is_last else min(self.steps - 1, step + self._length(each))
            step = self._attempt(number, step, goal, ending)
        return self

    def _length(self, each: int) -> int:
        return max(1, round(each * self.made.random.uniform(0.6, 1.3)))

    def _attempt(self, number: int, first: int, goal: int, ending: str) -> int:
        """One attempt; gives the step that the next one goes on from."""
        made, random = self.made, self.made.random
        queued_at = made.at
        began = queued_at + random.uniform(5, 3000)
        events = [{"at": began + 5, "kind": "begin", "hosts": ["n1", "n2", "n3", "n4"]}]
        ready = began + random.uniform(0.8, 1.3) * START_S
        events.append(
            {"at": ready, "kind": "started", "resume_step": first, "total_steps": self.steps}
        )
        events += list(self._steps(first, goal, ready))
        at, saved = events[-1]["at"], goal
        if ending in ("done", "stop signal"):
            at += SAVE_S
            events.append(self._save(goal, at, is_final=ending == "done"))
        else:
            saved = first + max(0, (goal - first) // 100 * 100)
            if saved > first:
                events.append(self._save(saved, at, is_final=False))
        if ending in ("done", "stop signal", "failure"):
            outcome = {"stop signal": "stopped", "failure": "failed"}.get(ending, ending)
            events.append({"at": at + 1, "kind": "exit", "outcome": outcome, "step": goal})
        ended = at + random.uniform(2, 300 if ending == "node failure" else 20)
        self.found.append(self._row(number, ending, queued_at, began, ended, first, goal, saved))
        key = AttemptKey(self.row.submissions[0].slurm_id or "", number)
        folder = RunFolder(Path(made.run.folder)).stage(self.row.stage)
        made.files.append((folder.events_file(key), events))
        made.at = ended + 30
        return saved

    def _steps(self, first: int, goal: int, ready: float) -> Iterator[dict[str, Any]]:
        random, at, before = self.made.random, ready, first
        places = [*range(first + 1, goal, self.made.told_every), goal]
        for step in places:
            step_s = STEP_S * random.uniform(0.95, 1.1)
            at += step_s * (step - before)
            part = step / self.steps
            yield {
                "at": at, "kind": "step", "step": step, "epoch": 0, "step_s": step_s,
                "data_s": DATA_S, "loss": 0.4 + 2.6 / (1 + 9 * part) + random.gauss(0, 0.05),
                "lr": 1e-4 * (1 - part), "grad_norm": 1 + random.expovariate(2),
                "clips_per_s": 128 / step_s * random.uniform(0.95, 1.02),
            }  # fmt: skip
            before = step

    def _save(self, step: int, at: float, *, is_final: bool) -> dict[str, Any]:
        name = f"step-{step:08d}{'-final' if is_final else ''}"
        self.saved.append(
            Checkpoint(
                stage_run_id=0, step=step, path=f"/scratch/{name}", bytes=14_300_000_000, files=34,
                digest="d", verified_at=None if step % 3 == 1 else at + 60, final=is_final,
                save_s=SAVE_S, created_at=at,
            )
        )  # fmt: skip
        return {"at": at, "kind": "checkpoint", "step": step, "save_s": SAVE_S, "held_s": 1.5,
                "final": is_final}  # fmt: skip

    def _row(
        self, number: int, ending: str, queued: float, began: float, ended: float,
        first: int, goal: int, saved: int,
    ) -> Attempt:  # fmt: skip
        is_done = ending == "done"
        return Attempt(
            submission_id=0, stage_run_id=0, cluster="slurm",
            slurm_id=self.row.submissions[0].slurm_id or "", restart=number,
            state="COMPLETED" if is_done else "PREEMPTED", cause=None if is_done else ending,
            queued_at=queued, started_at=began, ended_at=ended, wall_clock_s=ended - began,
            queued_s=began - queued, gpu_s=(ended - began) * 32, first_step=first, last_step=goal,
            steps_gained=saved - first, steps_lost=goal - saved, num_nodes=4, nodes="n[1-4]",
            exit_kind={"done": "done", "stop signal": "stopped", "failure": "failed"}.get(ending),
            message=None if is_done else self.made.message or MESSAGES[ending] or None,
            step_s=STEP_S,
        )  # fmt: skip

    def keep(self, session: Any) -> None:
        """Puts attempts, checkpoints and decisions into the ledger."""
        for attempt in self.found:
            attempt.submission_id = self.row.submissions[0].id
            attempt.stage_run_id = self.row.id
            record.upsert_attempt(session, attempt)
            if attempt.cause:
                why = (
                    f"{attempt.cause}; step {attempt.last_step} was reached, it is submitted again"
                )
                record.add_event(
                    session, "resubmitted", f"{self.row.stage}: {why}", at=attempt.ended_at or 0.0,
                    run_id=self.made.run.id, stage_run_id=self.row.id,
                    data={"rule": attempt.cause.replace(" ", "-")},
                )  # fmt: skip
        for saved in self.saved:
            saved.stage_run_id = self.row.id
            record.record_checkpoint(session, saved)


def eventful(
    runs: Path,
    *,
    attempts: int = 24,
    steps: int = 6000,
    told_every: int = 5,
    stage: str = "stage2",
    **more: Any,
) -> tuple[Ledger, Run]:
    """A run of two stages that were interrupted so often, and an evaluation."""
    made = Made(runs, told_every=told_every, **more)
    second = attempts // 3
    stages = [
        made.stage(stage, 0, attempts - second, steps).go(),
        made.stage("stage3", 1, max(1, second), steps // 2).go(),
    ]
    survey = made.stage("mvbench", 2, 1, 4000, StageKind.EVALUATE)
    stages.append(survey.go())
    made.files[-1][1].insert(
        -1,
        {"at": made.at, "kind": "metric", "name": "average", "value": 0.512, "correct": 2048,
         "total": 4000, "majority": 0.29},
    )  # fmt: skip
    made.run.state = RunState.DONE
    return made.write(stages), made.run
