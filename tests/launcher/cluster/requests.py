"""Job requests for tests, with a task that needs nothing but Python."""

import os
import secrets
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cloudpickle

from jobs.contract.paths import StageFolder
from launcher.cluster.base import JobRequest
from launcher.pipeline import ClusterSettings


@dataclass(frozen=True)
class Note:
    """Sleeps, then appends a word and where its code comes from to a file; SIGTERM ends it."""

    file: Path
    word: str
    sleep_s: float = 0.0

    def __call__(self) -> None:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(75))
        time.sleep(self.sleep_s)
        with self.file.open("a") as file:
            file.write(f"{self.word} {os.environ['PYTHONPATH']}\n")


def request(
    folder: Path,
    *,
    stage: str = "second",
    token: str | None = None,
    sleep_s: float = 0.0,
    parents: tuple[str, ...] = (),
    resumable: bool = True,
    **settings: object,
) -> JobRequest:
    """A job that notes its stage in `folder / "notes"`."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    code = folder / "code"
    code.mkdir(exist_ok=True)
    given = {"time_limit_s": 300, **settings}
    return JobRequest(
        stage=stage,
        token=token or f"t{secrets.token_hex(5)}",
        folder=StageFolder(folder / "stages" / stage),
        task=Note(folder / "notes", stage, sleep_s),
        settings=ClusterSettings(**given),  # type: ignore[arg-type]
        code=code,
        parents=parents,
        resumable=resumable,
    )


def notes(folder: Path) -> list[str]:
    """The words noted so far."""
    file = folder / "notes"
    return [line.split()[0] for line in file.read_text().splitlines()] if file.exists() else []
