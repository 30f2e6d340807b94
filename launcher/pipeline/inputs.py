"""Which files a pipeline reads, and which of them are not there.

Media and annotations may be what a program makes that runs before, as `jobs.data.prepare` does:
missing ones of a stage behind a command keep nothing from being submitted. They are told, since a
name may be wrong all the same.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from jobs.contract.evaluation import Task
from jobs.contract.spec import DataSet
from launcher.pipeline.parts import Pipeline, Stage


class _Input(NamedTuple):
    """A file or folder that is read; `makers` are the commands that may make it."""

    where: str
    path: Path
    makers: tuple[str, ...] = ()


def missing_inputs(pipeline: Pipeline) -> list[str]:
    """One line for each input that does not exist and must, in the order of the file."""
    return [
        f"{each.where}: {each.path} does not exist"
        for each in _missing(pipeline)
        if not each.makers
    ]


def awaited_inputs(pipeline: Pipeline) -> list[str]:
    """One line for each input that does not exist yet, but may when its stage starts."""
    return [
        f"{each.where}: {each.path} does not exist yet; {' or '.join(each.makers)} has to make it"
        for each in _missing(pipeline)
        if each.makers
    ]


def _missing(pipeline: Pipeline) -> Iterator[_Input]:
    """Each path once; where one stage needs it at once, as that stage's."""
    seen: set[Path] = set()
    for each in sorted(_inputs(pipeline), key=lambda each: bool(each.makers)):
        if each.path not in seen and not each.path.exists():
            yield each
        seen.add(each.path)


def _inputs(pipeline: Pipeline) -> Iterator[_Input]:
    for key, value in pipeline.model:
        if isinstance(value, Path):
            yield _Input(f"model.{key}", value)
    for stage in pipeline.stages:
        makers = tuple(_commands_before(pipeline, stage))
        for key, path in _stage_inputs(stage):
            yield _Input(f"stages.{stage.name}.{key}", path)
        for key, path in _data(stage):
            yield _Input(f"stages.{stage.name}.{key}", path, makers)


def _commands_before(pipeline: Pipeline, stage: Stage) -> Iterator[str]:
    """The programs that have ended when a stage starts, nearest first."""
    waiting, seen = list(stage.needs), set[str]()
    for name in waiting:  # grows while it is walked through
        if name not in seen:
            seen.add(name)
            before = pipeline.stage(name)
            waiting += before.needs
            if before.command is not None:
                yield name


def _stage_inputs(stage: Stage) -> Iterator[tuple[str, Path]]:
    if stage.reuse:
        yield "reuse", stage.reuse.path
    if stage.command:
        yield "command.cwd", stage.command.cwd


def _data(stage: Stage) -> Iterator[tuple[str, Path]]:
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
