"""Which files a pipeline reads, and which of them are not there."""

from collections.abc import Iterator
from pathlib import Path

from jobs.contract.evaluation import Task
from jobs.contract.spec import DataSet
from launcher.pipeline.parts import Pipeline, Stage


def missing_inputs(pipeline: Pipeline) -> list[str]:
    """One line for each input file or folder that does not exist, in the order of the file."""
    seen: set[Path] = set()
    found = []
    for where, path in _inputs(pipeline):
        if path not in seen and not path.exists():
            found.append(f"{where}: {path} does not exist")
        seen.add(path)
    return found


def _inputs(pipeline: Pipeline) -> Iterator[tuple[str, Path]]:
    for key, value in pipeline.model:
        if isinstance(value, Path):
            yield f"model.{key}", value
    for stage in pipeline.stages:
        for key, path in _stage_inputs(stage):
            yield f"stages.{stage.name}.{key}", path


def _stage_inputs(stage: Stage) -> Iterator[tuple[str, Path]]:
    if stage.reuse:
        yield "reuse", stage.reuse.path
    if stage.command:
        yield "command.cwd", stage.command.cwd
    sets = stage.train.data if stage.train else ()
    tasks = stage.evaluate.tasks if stage.evaluate else ()
    named: list[tuple[str, DataSet | Task]] = [
        *((f"train.data.{at}", data) for at, data in enumerate(sets)),
        *((f"evaluate.tasks.{at}", task) for at, task in enumerate(tasks)),
    ]
    for key, part in named:
        yield f"{key}.annotations", part.annotations
        if part.media:
            yield f"{key}.media", part.media
