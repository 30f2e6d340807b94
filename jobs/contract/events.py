"""What a job tells: one JSON object a line, written by rank 0, read by the launcher.

Kinds and their fields beside `at` (Unix seconds) and `kind`:

- begin: hosts, world_size; the process is there, its slow imports are still to come
- started: resume_step, total_steps, epochs; the first step comes next
- step: step, epoch, loss, lr, step_s, data_s, samples_seen
- checkpoint: step, path, bytes, save_s, final
- signal: name
- bad_clip: path, error
- metric: name, value, and what else belongs to it
- exit: outcome (done, stopped, failed, refused), code, step, message, error
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO


class EventWriter:
    """Appends events to one attempt's file; each line is on its way to the disk at once."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: TextIO = path.open("a", encoding="utf-8", buffering=1)

    def write(self, kind: str, **fields: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
        """Appends one event of `kind` with the time of day."""
        line = json.dumps({"at": time.time(), "kind": kind, **fields}, allow_nan=True)
        self._file.write(line + "\n")

    def close(self) -> None:
        """Closes the file; nothing may be written after this."""
        self._file.close()


@dataclass(frozen=True)
class Event:
    """One line of an event file."""

    at: float
    kind: str
    fields: dict[str, Any]


def read_events(path: Path) -> Iterator[Event]:
    """Gives the events of a file in order.

    A torn line (the writer was killed in the middle of it) is passed over; a file that
    does not exist holds no events.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    for line in text.splitlines():
        try:
            fields = json.loads(line)
            yield Event(float(fields.pop("at")), str(fields.pop("kind")), fields)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue


@dataclass(frozen=True)
class AttemptStory:
    """What an attempt's event file says in sum; fields are None where it does not say."""

    started_at: float | None = None
    ready_at: float | None = None
    last_at: float | None = None
    hosts: tuple[str, ...] = ()
    world_size: int | None = None
    first_step: int | None = None
    last_step: int | None = None
    total_steps: int | None = None
    epoch: int | None = None
    loss: float | None = None
    step_s: float | None = None
    saved_step: int | None = None
    outcome: str | None = None
    exit_code: int | None = None
    exit_at: float | None = None
    message: str | None = None
    metrics: tuple[dict[str, Any], ...] = ()


def read_story(path: Path) -> AttemptStory:
    """Sums up an attempt from rank 0's event file; an empty story where there is none.

    Where another rank failed, its words explain the end: rank 0 only saw it vanish.
    """
    told: dict[str, Any] = {}
    metrics: list[dict[str, Any]] = []
    for event in read_events(path):
        told["last_at"] = event.at
        if event.kind == "metric":
            metrics.append(event.fields)
        told |= _TELLERS.get(event.kind, _nothing)(event)
    if told.get("outcome") in (None, "failed"):
        told |= _first_fault(path)
    return AttemptStory(**told, metrics=tuple(metrics))


def _first_fault(path: Path) -> dict[str, Any]:
    """How the rank (other than 0) that failed first tells its end; empty if none did."""
    faults = []
    for sibling in path.parent.glob(f"{path.stem}.rank-*.jsonl"):
        rank = int(sibling.stem.rpartition("-")[2])
        faults += [(event.at, rank, event) for event in read_events(sibling)]
    if not faults:
        return {}
    _, rank, event = min(faults, key=lambda fault: fault[:2])
    told = _exit(event)
    return told | {"message": f"rank {rank}: {told['message']}"}


def _nothing(_: Event) -> dict[str, Any]:
    return {}


def _begin(event: Event) -> dict[str, Any]:
    return {
        "started_at": event.at,
        "hosts": tuple(event.fields.get("hosts", ())),
        "world_size": event.fields.get("world_size"),
    }


def _started(event: Event) -> dict[str, Any]:
    return {
        "ready_at": event.at,
        "first_step": event.fields.get("resume_step"),
        "last_step": event.fields.get("resume_step"),
        "total_steps": event.fields.get("total_steps"),
    }


def _step(event: Event) -> dict[str, Any]:
    kept = ("epoch", "loss", "step_s")
    return {"last_step": event.fields.get("step")} | {key: event.fields.get(key) for key in kept}


def _checkpoint(event: Event) -> dict[str, Any]:
    step = event.fields.get("step")
    return {"saved_step": step, "last_step": step}


def _exit(event: Event) -> dict[str, Any]:
    told = {
        "outcome": event.fields.get("outcome"),
        "exit_code": event.fields.get("code"),
        "exit_at": event.at,
        "message": event.fields.get("message"),
    }
    if event.fields.get("step") is not None:
        told["last_step"] = event.fields["step"]
    return told


_TELLERS = {
    "begin": _begin,
    "started": _started,
    "step": _step,
    "checkpoint": _checkpoint,
    "exit": _exit,
}
