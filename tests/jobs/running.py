"""Runs stages as the launcher does: submitit's local executor, one process a rank."""

import os
import secrets
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import submitit

from jobs.contract.events import Event, read_events
from jobs.contract.paths import AttemptKey, RunFolder, StageFolder
from jobs.contract.spec import StageSpec
from jobs.contract.story import AttemptStory, read_story
from jobs.contract.task import StageTask

ROOT = Path(__file__).parents[2]
PATIENCE_S = 300.0
"""For a loaded machine; each wait here takes seconds on an idle one."""
INHERITED = {"WORLD_SIZE": "7", "RANK": "5", "LOCAL_RANK": "3", "MASTER_PORT": "1"}
"""What a login shell may leave behind; no stage may care."""

TINY: dict[str, Any] = {
    "video_encoder": {"width": 32, "depth": 1, "blocks_built": 1, "heads": 2},
    "qformer": {"width": 32, "layers": 1, "heads": 2, "ffn_width": 64},
    "pretraining": {"frames": 2, "embed_width": 32},
    "language_model": {
        "sizes": {"width": 32, "layers": 1, "heads": 2, "kv_heads": 1, "ffn_width": 64}
    },
}
"""The tiny preset, smaller still."""


@dataclass(frozen=True)
class Material:
    """What the stages are made of.

    Attributes:
        clips: Folder of a synthetic set.
        tokenizer: Folder of the tokenizer.
    """

    clips: Path
    tokenizer: Path

    def spec(self, stage: str, **parts: Any) -> StageSpec:
        """A specification of the tiny model."""
        model = {"preset": "tiny", "tokenizer": str(self.tokenizer), "overrides": TINY}
        return StageSpec.model_validate({"run_id": "r", "stage": stage, "model": model} | parts)

    def train(self, entry: str, annotations: str, **recipe: Any) -> dict[str, Any]:
        """A training recipe on one of the set's annotation files; every step is told."""
        usual = {
            "lr": 1e-3,
            "global_batch": 8,
            "frames": 2,
            "workers": 0,
            "max_text_tokens": 160,
            "log_every_s": 1e-6,
            "data": [{"annotations": str(self.clips / annotations)}],
        }
        return {"train": usual | {"entry": entry} | recipe}


@dataclass
class Attempt:
    """The processes of one attempt."""

    folder: StageFolder
    key: AttemptKey
    ranks: int
    job: Any
    notes: Path

    @property
    def story(self) -> AttemptStory:
        """What the event files say in sum."""
        return read_story(self.folder.events_file(self.key))

    @property
    def codes(self) -> list[int]:
        """The ranks' exit codes; a signal's number is negative."""
        return [int((self.notes / f"{rank}.code").read_text()) for rank in range(self.ranks)]

    def events(self, kind: str) -> list[Event]:
        """Rank 0's events of one kind."""
        path = self.folder.events_file(self.key)
        return [event for event in read_events(path) if event.kind == kind]

    def left_out(self) -> list[tuple[str, str]]:
        """Set and file of the clips that rank 0 told of as unreadable."""
        told = read_events(self.folder.events_file(self.key))
        files = [each for event in told for each in event.fields.get("files", ())]
        return [(each["set"], each["path"]) for each in files]

    def log(self, rank: int) -> str:
        """What a rank wrote."""
        path = self.folder.log_file(self.key, rank)
        return path.read_text() if path.exists() else ""

    def pid(self, rank: int) -> int:
        """The process of a rank."""
        return int((self.notes / f"{rank}.pid").read_text())

    def send(self, number: int, ranks: Sequence[int] | None = None) -> None:
        """Sends a signal to some ranks; by default to all."""
        for rank in range(self.ranks) if ranks is None else ranks:
            os.kill(self.pid(rank), number)

    def wait_until(self, what: Callable[[], object]) -> None:
        """Waits for something to be true; fails when the attempt ends before."""
        ends_at = time.monotonic() + PATIENCE_S
        while not what():
            if self.has_ended() or time.monotonic() > ends_at:
                pytest.fail(f"waited in vain; {self.story}\n{self.log(0)[-3000:]}")
            time.sleep(0.005)

    def wait_for(self, kind: str, step: int) -> None:
        """Waits until rank 0 has told an event of this kind at `step` or a later one."""
        self.wait_until(lambda: any(e.fields["step"] >= step for e in self.events(kind)))

    def wait_until_listening(self) -> None:
        """Waits until every rank has taken over its signals (its output follows)."""
        logs = [self.folder.log_file(self.key, rank) for rank in range(self.ranks)]
        self.wait_until(lambda: all(log.exists() for log in logs))

    def has_ended(self) -> bool:
        """Whether all ranks have."""
        return bool(self.job.done())

    def wait(self) -> "Attempt":
        """Waits for the end of all ranks."""
        ends_at = time.monotonic() + PATIENCE_S
        while not self.has_ended():
            if time.monotonic() > ends_at:
                pytest.fail(f"did not end; {self.story}\n{self.log(0)[-3000:]}")
            time.sleep(0.02)
        return self

    def kill(self) -> None:
        """Kills the ranks that still run."""
        for rank in range(self.ranks):
            ended = (self.notes / f"{rank}.code").exists()
            if (self.notes / f"{rank}.pid").exists() and not ended:
                os.kill(self.pid(rank), signal.SIGKILL)


@contextmanager
def started(
    run: RunFolder, spec: StageSpec, *, ranks: int = 2, fence: int = 1, full_world: int = 0
) -> Iterator[Attempt]:
    """An attempt under way; its ranks do not outlive the block.

    Args:
        run: The run's folder.
        spec: The stage.
        ranks: How many run.
        fence: Number of the submission.
        full_world: Ranks that a job with all of its nodes has; by default `ranks`.
    """
    folder = run.stage(spec.stage)
    spec = spec.model_copy(update={"tasks_per_node": full_world or ranks})
    spec.write(folder.spec)
    # The port follows from it: tests that run at the same time must not meet.
    token = f"{spec.stage}-{secrets.token_hex(4)}"
    notes = folder.root / "notes" / token
    notes.mkdir(parents=True)
    empty = run.root / "no-programs"
    empty.mkdir(exist_ok=True)
    python = shlex.join([sys.executable, "-S", str(ROOT / "tests/jobs/rank.py"), str(notes)])
    executor = submitit.LocalExecutor(folder.submitit, python=f"{python} {sys.executable}")
    executor.update_parameters(tasks_per_node=ranks, timeout_min=10)
    environment = {
        **INHERITED,
        "PYTHONPATH": str(ROOT),
        "PYTHONSAFEPATH": "1",
        "OMP_NUM_THREADS": "1",
        # Neither ninja nor a compiler is to be found, and what is compiled shows.
        "PATH": str(empty),
        "TORCH_EXTENSIONS_DIR": str(extensions(run)),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        job = executor.submit(StageTask(run.root, spec.stage, fence, token))
    attempt = Attempt(folder, AttemptKey(token, 0), ranks, job, notes)
    try:
        yield attempt
    finally:
        attempt.kill()
        attempt.wait()


def extensions(run: RunFolder) -> Path:
    """Where torch would compile extensions."""
    return run.root / "torch-extensions"


def run_stage(run: RunFolder, spec: StageSpec, **how: int) -> Attempt:
    """Runs a stage to its end."""
    with started(run, spec, **how) as attempt:
        return attempt.wait()
