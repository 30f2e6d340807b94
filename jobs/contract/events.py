"""What a job tells: one JSON object a line, written by rank 0, read by the launcher.

Kinds and their fields beside `at` (Unix seconds) and `kind`:

- begin: hosts, world_size; the process is there, its slow imports are still to come
- started: resume_step, total_steps, epochs; the first step comes next
- first_step: step, start_s (seconds from the process's beginning to the end of its first step),
  parts (the same by part, in order; `jobs.startup` has the words)
- step: step, epoch, samples_seen, lr, loss_scale (in fp16), skipped (steps so far), memory_gb (the
  most that rank 0's GPU ever held, else what its process holds); means since the last `step`: loss
  (of all ranks), grad_norm (before clipping), step_s (rank 0's, with its wait for data), data_s (a
  rank's wait for data, mean of all); by the wall-clock since then, saving and all included:
  data_share (of a rank's time, waiting for data), clips_per_s, tokens_per_s (of text, without
  padding; both over all ranks), mfu (floating-point operations that the model needs, by those
  that the GPUs could do; only where both are known)
- no_tensorboard: message; from here on this attempt draws no curves
- skipped: step, why (loss, gradient, no_clips), in_a_row, total; the last step without an update,
  instead of `step` where none since the line before made one
- checkpoint: step, path, bytes, save_s (from the copy until it was whole on the disk), held_s (of
  them, those that training waited), final
- save_failed: step, error, retry_s (until it is tried again); training goes on meanwhile
- save_interval: interval_s, every_steps, save_s, mtbf_s, why; how often `every: auto` saves from
  now on
- bad_checkpoint: path (where it was set aside), reason
- signal: name
- metric: name, value, and what else belongs to it
- exit: outcome (done, stopped, failed, refused), code, step (the last one done), message, error
  (the exception's class), fault (`jobs.faults` has the words; a refusal also: parents, fenced,
  checkpoints), host (the failing rank's node), lost_peer (it only saw that another was gone),
  report (a JSON file with the batches that led to it)
- after exit, on Slurm: requeued; not_requeued: word (Slurm's for the job); requeue_failed: message

A rank other than 0 that fails or refuses tells its `exit` in a file of its own.

`step`, `skipped` and `exit` tell besides what happened since the one before, so that a training
writes at most one line each `log_every_s`: skipped (steps so far), skipped_since (their number by
why); bad_clips (unreadable ones), files (the first three: set, path, error; Timeout: not read in
time); stragglers (newest look: step, median_s, lagging: ranks whose time for data and forward
pass is over 1.2 medians, slowest eight: rank, host, own_s, forward_s, data_s, ratio).
"""

import json
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.contract.work import Work

_MOST_WAITING = 10_000


class EventWriter:
    """Appends events to one attempt's file; each line is on its way to the disk at once.

    Lines that the disk does not take (it is full) wait and come with later ones: telling is no
    reason to end a training.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._waiting: deque[bytes] = deque(maxlen=_MOST_WAITING)
        # A signal before the first step is answered by another thread.
        self._lock = threading.Lock()

    def write(self, kind: str, **fields: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
        """Appends one event of `kind` with the time of day."""
        line = json.dumps({"at": time.time(), "kind": kind, **fields}, allow_nan=True)
        with self._lock:
            self._waiting.append(f"{line}\n".encode())
            with suppress(OSError):
                self._write_waiting()

    def _write_waiting(self) -> None:
        while self._waiting:
            line = self._waiting[0]
            if os.write(self._file, line) == len(line):
                self._waiting.popleft()
            else:  # what is torn ends where the whole line begins, and is passed over
                self._waiting[0] = b"\n" + line.lstrip(b"\n")

    def close(self) -> None:
        """Closes the file; nothing may be written after this."""
        with self._lock:
            with suppress(OSError):
                self._write_waiting()
            os.close(self._file)


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
    except OSError:  # not there, or not to be read now: what it says will be heard later
        return
    for line in text.splitlines():
        try:
            fields = json.loads(line)
            yield Event(float(fields.pop("at")), str(fields.pop("kind")), fields)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue


@dataclass(frozen=True)
class AttemptStory:
    """What an attempt's event file says in sum; fields are None where it does not say.

    Attributes:
        started_at: When the process began; times are Unix seconds.
        ready_at: When the first step was to come.
        last_at: When rank 0 told its last event.
        hosts: Nodes of the job.
        world_size: Ranks of the job.
        first_step: The step it resumed at.
        last_step: The last step that was done.
        total_steps: Steps of the stage.
        epoch: Of the last step told.
        loss: Of the last step told.
        step_s: Seconds of a step, by the last one told.
        work_s: Seconds of all steps, without their wait for data.
        start_s: Seconds from the beginning of the process to the end of its first step.
        saved_step: Step of its newest checkpoint.
        save_s: Seconds that one took.
        outcome: done, stopped, failed or refused.
        exit_code: Of the process that tells the end.
        exit_at: When.
        message: Why, for people.
        error: Class name of the exception that ended it.
        fault: What kind of fault that is, see the `exit` event; empty: none that is known.
        host: Node of the rank that failed first; None where it cannot be told.
        requeue_error: Why the job could not put itself back into the queue, in Slurm's words.
        requeue_word: Slurm's word for the job where it was not RUNNING when it stopped: somebody
            was ending it, so it did not put itself back.
        skipped: Steps of the stage that were skipped, a number being infinite or none at all.
        report: File that says more about the end.
        metrics: All that were told.
    """

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
    work_s: float | None = None
    start_s: float | None = None
    saved_step: int | None = None
    save_s: float | None = None
    outcome: str | None = None
    exit_code: int | None = None
    exit_at: float | None = None
    message: str | None = None
    error: str | None = None
    fault: str | None = None
    host: str | None = None
    requeue_error: str | None = None
    requeue_word: str | None = None
    skipped: int | None = None
    report: str | None = None
    metrics: tuple[dict[str, Any], ...] = ()


def read_story(path: Path) -> AttemptStory:
    """Sums up an attempt from rank 0's event file; an empty story where there is none.

    Where another rank failed first, its words explain the end: rank 0 only saw it vanish.
    """
    told: dict[str, Any] = {}
    metrics: list[dict[str, Any]] = []
    own_end: Event | None = None
    work = Work()
    for event in read_events(path):
        told["last_at"] = event.at
        work.hear(event.at, event.kind, event.fields)
        if event.kind == "metric":
            metrics.append(event.fields)
        if event.kind == "exit":
            own_end = event
        told |= _TELLERS.get(event.kind, _nothing)(event)
    if told.get("outcome") in (None, "failed"):
        told |= _first_fault(path, own_end)
    return AttemptStory(**told, work_s=work.seconds, metrics=tuple(metrics))


def _first_fault(path: Path, own_end: Event | None) -> dict[str, Any]:
    """How the rank that failed first tells its end; empty if that is rank 0, or none did."""
    ends = [(0, own_end)] if own_end is not None else []
    for sibling in path.parent.glob(f"{path.stem}.rank-*.jsonl"):
        rank = int(sibling.stem.rpartition("-")[2])
        ends += [(rank, event) for event in read_events(sibling)]
    causes = [end for end in ends if not _only_lost_a_peer(*end)] or ends
    rank, event = min(causes, key=lambda end: (end[1].at, end[0]), default=(0, None))
    if rank == 0 or event is None:
        return {}
    told = _exit(event)
    return told | {"message": f"rank {rank}: {told['message']}"}


def _only_lost_a_peer(rank: int, end: Event) -> bool:
    """Whether a rank ended because another was gone; old files of rank 0 do not say."""
    return bool(end.fields.get("lost_peer", rank == 0 and "fault" not in end.fields))


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


def _first_step(event: Event) -> dict[str, Any]:
    return {"last_step": event.fields.get("step"), "start_s": event.fields.get("start_s")}


def _step(event: Event) -> dict[str, Any]:
    kept = ("epoch", "loss", "step_s")
    told = {key: event.fields.get(key) for key in kept} | _skipped_so_far(event)
    return told | {"last_step": event.fields.get("step")}


def _skipped(event: Event) -> dict[str, Any]:
    return {"last_step": event.fields.get("step"), "skipped": event.fields.get("total")}


def _skipped_so_far(event: Event) -> dict[str, Any]:
    skipped = event.fields.get("skipped")
    return {"skipped": skipped} if skipped else {}


def _checkpoint(event: Event) -> dict[str, Any]:
    step = event.fields.get("step")
    return {"saved_step": step, "last_step": step, "save_s": event.fields.get("save_s")}


def _exit(event: Event) -> dict[str, Any]:
    told = {
        "outcome": event.fields.get("outcome"),
        "exit_code": event.fields.get("code"),
        "exit_at": event.at,
        "message": event.fields.get("message"),
        "error": event.fields.get("error"),
        "fault": event.fields.get("fault"),
        "host": event.fields.get("host"),
        "report": event.fields.get("report"),
    }
    if event.fields.get("step") is not None:
        told["last_step"] = event.fields["step"]
    return told | _skipped_so_far(event)


def _not_requeued(event: Event) -> dict[str, Any]:
    return {"requeue_word": event.fields.get("word")}


def _requeue_failed(event: Event) -> dict[str, Any]:
    return {"requeue_error": event.fields.get("message")}


_TELLERS = {
    "begin": _begin,
    "started": _started,
    "first_step": _first_step,
    "step": _step,
    "skipped": _skipped,
    "checkpoint": _checkpoint,
    "exit": _exit,
    "not_requeued": _not_requeued,
    "requeue_failed": _requeue_failed,
}
