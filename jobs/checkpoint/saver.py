"""Saves the state of a training run behind its back.

Notable: the training is held for a copy to the host's memory. The rest happens in a thread of
each rank: it writes and digests the rank's file; the threads then meet in a process group of
their own, where rank 0 hears whether all files are on the disk, lists them in the manifest and
makes the checkpoint visible (`jobs.checkpoint.store`). One save is under way at a time, so the
memory is bounded by one copy.

What became of a save is known to the ranks at different moments. So no rank acts on it alone:
rank 0 says when all take note of it (`jobs.keeper`).
"""

import json
import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path

import torch.distributed as dist
from torch import Tensor

from jobs.checkpoint.progress import Progress
from jobs.checkpoint.shards import HostBuffer, write_digested
from jobs.checkpoint.state import EngineState, Piece
from jobs.checkpoint.store import aside_of, commit, prune
from jobs.contract.checkpointing import Checkpointing
from jobs.contract.files import write_atomic
from jobs.contract.manifest import CheckpointFile, Manifest, describe
from jobs.job import Job

STATE = "state.json"
WEIGHTS = "weights.safetensors"
BUFFER = "buffer"
_PATIENCE_S = 7200.0
"""How long the ranks wait for the slowest file, beyond the time that may be unsaved."""
_ERRORS_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What is being saved, beside the tensors.

    Attributes:
        progress: Where the run stood.
        parent: The checkpoint that the attempt began with, or saved before.
        loss: Mean training loss since that.
        ends_epoch: An epoch ended there.
        final: The stage is done.
    """

    progress: Progress
    parent: str | None
    loss: float | None = None
    ends_epoch: bool = False
    final: bool = False


@dataclass(frozen=True, kw_only=True)
class Saved:
    """What became of a save, the same on all ranks.

    Attributes:
        snapshot: What was to be saved.
        path: The checkpoint's folder.
        bytes: Its size; 0 where it was not saved.
        save_s: Seconds from the copy to the moment when it was whole on the disk.
        held_s: Of them, those that the training waited for, on this rank.
        began: When it was begun, by this rank's `time.monotonic`.
        error: Why it was not saved, in the disk's words; empty: it was.
        taken_over: Who has taken the stage over, so that nothing was saved.
    """

    snapshot: Snapshot
    path: Path
    bytes: int = 0
    save_s: float = 0.0
    held_s: float = 0.0
    began: float = 0.0
    error: str = ""
    taken_over: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Copy:
    """All that a save needs of the moment when it began."""

    snapshot: Snapshot
    tensors: Mapping[str, Tensor]
    weights: Mapping[str, Tensor] | None
    updates: Mapping[str, float]
    scaler: Mapping[str, float]
    began: float
    held_s: float


@dataclass(frozen=True)
class _Part:
    """What one rank tells rank 0."""

    files: tuple[CheckpointFile, ...]
    updates: Mapping[str, float]
    error: str = ""


class Saver:
    """Saves in the background; all ranks hold one and call it at the same steps.

    Args:
        job: This rank's view of the attempt.
        state: What is saved.
        rules: What stays on the disk beside it.
    """

    def __init__(self, job: Job, state: EngineState, rules: Checkpointing) -> None:
        self._job, self._state, self._rules = job, state, rules
        self._memory = HostBuffer()
        self._memory.reserve(state.size)
        patience = timedelta(seconds=_PATIENCE_S + rules.max_unsaved)
        self._group = dist.new_group(backend="gloo", timeout=patience)
        self._thread: threading.Thread | None = None
        self._pruning: threading.Thread | None = None
        self._saved: Saved | None = None
        self._fault: BaseException | None = None

    @property
    def is_idle(self) -> bool:
        """No save is under way or waits for `wait`."""
        return self._thread is None

    @property
    def is_done(self) -> bool:
        """A save has come to its end on this rank; `wait` will not take long."""
        return self._thread is not None and not self._thread.is_alive()

    @property
    def outcome(self) -> Saved | None:
        """What became of a save that is done; None: none is, or it ended in an error of ours."""
        return self._saved if self.is_done else None

    def begin(self, snapshot: Snapshot, weights: Mapping[str, Tensor] | None = None) -> None:
        """Copies the state and has it written; the training may go on when this returns.

        Args:
            snapshot: What is saved.
            weights: On rank 0 of a final save, what another stage starts from; on the host.
        """
        began = time.monotonic()
        pieces = self._state.own_pieces()
        if dist.get_rank() == 0:
            for name, buffer in self._state.buffers().items():
                pieces.append(Piece(BUFFER, name, 0, buffer.detach().reshape(-1)))
        copy = _Copy(
            snapshot=snapshot,
            tensors=self._memory.copy(pieces),
            weights=weights,
            updates=self._state.updates(),
            scaler=self._state.scaler(),
            began=began,
            held_s=time.monotonic() - began,
        )
        self._saved = self._fault = None
        name = f"saves step {snapshot.progress.step}"
        self._thread = threading.Thread(target=self._run, args=(copy,), name=name, daemon=True)
        self._thread.start()

    def wait(self, limit_s: float | None = None) -> Saved:
        """Waits for the save that is under way; all ranks call it together.

        Args:
            limit_s: Seconds to wait at most; None: as long as it takes.

        Raises:
            TimeoutError: It is still under way.
            RuntimeError: A rank has gone, or what the thread has run into.
        """
        if self._thread is None:
            raise RuntimeError("no save is under way")
        self._thread.join(limit_s)
        if self._thread.is_alive():
            raise TimeoutError
        self._thread = None
        if self._fault is not None:
            raise self._fault
        if self._saved is None:
            raise RuntimeError("a save ended without a result")
        return self._saved

    def close(self, limit_s: float) -> None:
        """Waits, but not longer than this, until what the last save made superfluous is removed."""
        if self._pruning is not None:
            self._pruning.join(limit_s)

    def _run(self, copy: _Copy) -> None:
        try:
            self._saved = self._save(copy)
        except BaseException as fault:  # noqa: BLE001 - raised again by `wait`, in the main thread
            self._fault = fault

    def _save(self, copy: _Copy) -> Saved:
        snapshot, is_first = copy.snapshot, dist.get_rank() == 0
        target = self._job.folder.checkpoint(snapshot.progress.step, final=snapshot.final)
        aside = aside_of(target, self._job)
        part = _write(aside, copy)
        parts: list[_Part] | None = [part] * dist.get_world_size() if is_first else None
        dist.gather_object(part, parts, dst=0, group=self._group)
        saved = Saved(snapshot=snapshot, path=target)
        if parts is not None:
            saved = self._finish(saved, copy, aside, parts)
        verdict = [saved]
        dist.broadcast_object_list(verdict, src=0, group=self._group)
        return replace(verdict[0], held_s=copy.held_s, began=copy.began)

    def _finish(self, saved: Saved, copy: _Copy, aside: Path, parts: list[_Part]) -> Saved:
        """On rank 0: lists the files and makes the checkpoint visible, or removes them."""
        errors = [f"rank {rank}: {part.error}" for rank, part in enumerate(parts) if part.error]
        if errors:
            return self._failed(saved, aside, "; ".join(errors[:_ERRORS_SHOWN]))
        try:
            self._write_state(aside, copy, parts)
            manifest = self._manifest(aside, copy, parts)
            taken_over = commit(aside, saved.path, manifest, self._job)
        except (OSError, ValueError) as error:  # the fence, too, may be torn
            return self._failed(saved, aside, str(error))
        save_s = time.monotonic() - copy.began
        if taken_over is None:
            self.tidy()
        return replace(saved, bytes=manifest.bytes, save_s=save_s, taken_over=taken_over)

    def _failed(self, saved: Saved, aside: Path, error: str) -> Saved:
        """Makes room for the next try."""
        shutil.rmtree(aside, ignore_errors=True)
        self.tidy()
        return replace(saved, error=error)

    def tidy(self) -> None:
        """Removes, on rank 0, what no rule keeps and what kills have left: it may fill the disk.

        In a thread of its own: it may take long, and a stop does not wait for its end. While one
        is at it, what there is more to remove is left to the next.
        """
        if self._job.place.rank:
            return
        if self._pruning is None or not self._pruning.is_alive():
            job, rules = self._job, self._rules
            self._pruning = threading.Thread(target=prune, args=(job, rules), daemon=True)
            self._pruning.start()

    def _write_state(self, aside: Path, copy: _Copy, parts: list[_Part]) -> None:
        told = {
            "progress": asdict(copy.snapshot.progress),
            "updates": {name: count for part in parts for name, count in part.updates.items()},
            "scaler": dict(copy.scaler),
            "shapes": self._state.shapes,
        }
        write_atomic(aside / STATE, json.dumps(told))

    def _manifest(self, aside: Path, copy: _Copy, parts: list[_Part]) -> Manifest:
        snapshot, progress = copy.snapshot, copy.snapshot.progress
        return Manifest(
            step=progress.step,
            epoch=progress.epoch,
            samples_seen=progress.samples_seen,
            world_size=dist.get_world_size(),
            files=(
                *(each for part in parts for each in part.files),
                describe(aside / STATE, STATE),
            ),
            weights=WEIGHTS if snapshot.final else None,
            save_s=time.monotonic() - copy.began,
            parent=snapshot.parent,
            code_sha=self._job.spec.code_sha,
            final=snapshot.final,
            ends_epoch=snapshot.ends_epoch,
            loss=snapshot.loss,
        )


def _write(aside: Path, copy: _Copy) -> _Part:
    """Writes this rank's files; what the disk says is told, not raised: all ranks must hear it."""
    rank, ranks = dist.get_rank(), dist.get_world_size()
    try:
        aside.mkdir(parents=True, exist_ok=True)
        name = f"state-{rank:05d}-of-{ranks:05d}.safetensors"
        files = [write_digested(aside / name, copy.tensors)]
        if copy.weights is not None:
            files.append(write_digested(aside / WEIGHTS, copy.weights))
    except (OSError, MemoryError) as error:
        return _Part((), copy.updates, str(error) or type(error).__name__)
    return _Part(tuple(files), copy.updates)
