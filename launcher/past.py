"""What earlier runs of a pipeline say about its stages: how long, how well saved, how big. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from db.pasts import PastStage
from db.schema import Attempt, StageRun
from db.states import StageState
from launcher.frozen import train_of
from launcher.pipeline import Stage


@dataclass(frozen=True)
class Heard:
    """What the event files of some attempts tell that the ledger does not keep, in seconds.

    Attributes:
        starts_s: From the begin of an attempt to its first step.
        held_s: That each save held the training up.
    """

    starts_s: tuple[float, ...] = ()
    held_s: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Past:
    """What earlier runs say about a stage; None: they do not.

    Attributes:
        runs: Of those say how long its work takes.
        work_s: Of its steps, on the nodes that it asks for now.
        step_s: Of one step, likewise.
        steps: In all.
        start_s: From the begin of an attempt to its first step.
        save_s: That a save holds it up; where that was not told, until a save was on the disk.
        wait_s: In the queue before an attempt that was not the first.
        checkpoint_bytes: The largest of its newest checkpoints.
        checkpoint_files: The most files of one of them.
    """

    runs: int = 0
    work_s: float | None = None
    step_s: float | None = None
    steps: int | None = None
    start_s: float | None = None
    save_s: float | None = None
    wait_s: float | None = None
    checkpoint_bytes: int | None = None
    checkpoint_files: int | None = None


NOTHING = Past()


def recall(stage: Stage, past: PastStage, heard: Heard) -> Past:
    """What the earlier runs of a stage say about it as it stands in the file now."""
    start_s = _median(heard.starts_s)
    told = [_work(stage, row, start_s or 0.0) for row in past.stage_runs]
    works = [work for work in told if work is not None]
    # Of what another program saves nobody knows how long it took: 0.
    saves = heard.held_s or tuple(saved.save_s for saved in past.checkpoints if saved.save_s)
    waits = (a.queued_s for row in past.stage_runs for a in _started(row)[1:])
    newest = works[0] if works else None
    return Past(
        runs=len(works),
        work_s=_median([work_s for work_s, _ in works]),
        step_s=newest[0] / newest[1] if newest and newest[1] else None,
        steps=newest[1] if newest else None,
        start_s=start_s,
        save_s=_median(saves),
        wait_s=_median([wait for wait in waits if wait is not None]),
        checkpoint_bytes=max((saved.bytes for saved in past.checkpoints), default=None),
        checkpoint_files=max((saved.files for saved in past.checkpoints), default=None),
    )


def _work(stage: Stage, row: StageRun, start_s: float) -> tuple[float, int | None] | None:
    """Seconds of the work of a stage run, as if done now, and its steps where it had some."""
    scale = _scale(stage, row)
    if scale is None:
        return None
    steps = row.total_steps or max((a.total_steps or 0 for a in row.attempts), default=0)
    node_s = [a.step_s * _nodes(row, a) for a in row.attempts if a.step_s]
    if steps and node_s:
        return median(node_s) * steps * scale, round(steps * _more(stage, row))
    held = _started(row)
    if row.state is StageState.DONE and len(held) == 1 and held[0].wall_clock_s:
        work_s = max(0.0, held[0].wall_clock_s - start_s) * _nodes(row, held[0])
        return work_s * scale, None
    return None


def _scale(stage: Stage, row: StageRun) -> float | None:
    """What node-seconds of then are in seconds of now; None: they say nothing about now."""
    wanted = stage.cluster
    if stage.kind != row.kind or _recipe(row, stage.name)[1] != _max_steps(stage):
        return None
    if stage.command is not None:
        same = {_nodes(row, each) for each in _started(row)} <= {wanted.max_nodes}
        return 1 / wanted.max_nodes if same else None
    return row.tasks_per_node / wanted.world_size * _more(stage, row)


def _more(stage: Stage, row: StageRun) -> float:
    """By what factor there are more epochs now."""
    epochs = _recipe(row, stage.name)[0]
    return stage.train.epochs / epochs if stage.train is not None and epochs else 1.0


def _max_steps(stage: Stage) -> int | None:
    return stage.train.max_steps if stage.train is not None else None


def _recipe(row: StageRun, name: str) -> tuple[int | None, int | None]:
    """Epochs and most steps of a stage, by the pipeline file of its run."""
    train = train_of(row.run.pipeline_yaml, name)
    return train.get("epochs"), train.get("max_steps")


def _started(row: StageRun) -> list[Attempt]:
    return [attempt for attempt in row.attempts if attempt.started_at is not None]


def _nodes(row: StageRun, attempt: Attempt) -> int:
    return attempt.num_nodes or row.nodes


def _median(values: Sequence[float] | Iterable[float]) -> float | None:
    known = list(values)
    return median(known) if known else None
