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
