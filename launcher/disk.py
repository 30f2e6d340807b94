"""Room that a run's checkpoints need, against what is free."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs.contract.checkpointing import Checkpointing
from launcher.past import NOTHING, Past
from launcher.pipeline import Pipeline, Stage

_OF_AN_EVALUATION = Checkpointing(keep=1)


@dataclass(frozen=True)
class StageDisk:
    """What the checkpoints of a stage take at most.

    Attributes:
        stage: Its name.
        copies: Checkpoints that are there at once, with the one that is being written.
        copy_bytes: Of one.
        copy_files: Files of one, as its manifest lists them.
    """

    stage: str
    copies: int
    copy_bytes: int
    copy_files: int = 0

    @property
    def bytes(self) -> int:
        """Of all."""
        return self.copies * self.copy_bytes


@dataclass(frozen=True)
class Disk:
    """Needed and free.

    Attributes:
        stages: Of which the ledger knows how large a checkpoint is.
        unknown: The other jobs.
        folder: Where it was looked.
        free_bytes: For this user; None: it could not be asked.
    """

    stages: tuple[StageDisk, ...]
    unknown: tuple[str, ...]
    folder: Path
    free_bytes: int | None

    @property
    def bytes(self) -> int:
        """Needed, as far as is known. Checkpoints of a stage that is done stay."""
        return sum(stage.bytes for stage in self.stages)

    @property
    def is_short(self) -> bool:
        """Whether what is known to be needed does not fit."""
        return self.free_bytes is not None and self.bytes > self.free_bytes


def look_at_disk(pipeline: Pipeline, pasts: Mapping[str, Past]) -> Disk:
    """What the pipeline's checkpoints need, and what is free in its folder of runs."""
    return Disk(*needs(pipeline, pasts), pipeline.runs, _free_bytes(pipeline.runs))


def needs(
    pipeline: Pipeline, pasts: Mapping[str, Past]
) -> tuple[tuple[StageDisk, ...], tuple[str, ...]]:
    """What the checkpoints of each stage need, and the stages of which nobody knows it yet."""
    known, unknown = [], []
    for stage in pipeline.stages:
        past = pasts.get(stage.name, NOTHING)
        copies = copies_of(stage, past.steps)
        if stage.kind == "reuse" or copies == 0:
            continue
        size, files = past.checkpoint_bytes, past.checkpoint_files
        if copies is None or size is None or files is None:
            unknown.append(stage.name)
        else:
            known.append(StageDisk(stage.name, copies, size, files))
    return tuple(known), tuple(unknown)


def copies_of(stage: Stage, steps: int | None) -> int | None:
    """Checkpoints of a stage that are on the disk at once, at most; None: that is not known.

    Args:
        stage: The stage.
        steps: That it makes in all; None: not known.
    """
    if stage.command is not None:  # it keeps what it wants to
        return None if stage.command.checkpoints.watch else 0
    rules = stage.train.checkpoint if stage.train is not None else _OF_AN_EVALUATION
    copies = rules.keep + 1 + rules.keep_best
    if rules.keep_epochs and stage.train is not None:
        copies += stage.train.epochs
    if rules.keep_every is not None:
        if steps is None:
            return None
        copies += steps // rules.keep_every
    return copies


def _free_bytes(folder: Path) -> int | None:
    """Of the file system that the folder is on, or will be on once it is made."""
    there = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
    try:
        return shutil.disk_usage(there).free
    except OSError:
        return None
