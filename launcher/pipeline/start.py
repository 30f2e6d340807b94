"""Starting in the middle: `--from STAGE --init PATH`."""

from dataclasses import replace
from pathlib import Path

from launcher.errors import UsageError
from launcher.pipeline.document import suggestion
from launcher.pipeline.parts import NO_JOB, Pipeline, Reuse, Stage


def start_from(pipeline: Pipeline, stage: str, init: Path) -> Pipeline:
    """The pipeline that begins with `stage`, on the weights at `init`.

    The parent whose weights it would start from becomes `reuse: init`; its other parents
    are no longer waited for. What descends from it stays, with all that this needs.

    Raises:
        UsageError: There is no such stage, or it starts from no weights.
    """
    names = [known.name for known in pipeline.stages]
    if stage not in names:
        raise UsageError(f"--from {stage}: no such stage; {suggestion(stage, names)}")
    first = pipeline.stage(stage)
    if first.init_from is None:
        raise UsageError(f"--from {stage}: starts from no other stage's weights; drop --init")
    given = Stage(
        name=first.init_from,
        kind="reuse",
        cluster=NO_JOB,
        reuse=Reuse(init.absolute()),
    )
    changed = {given.name: given, stage: replace(first, needs=(given.name,))}
    stages = tuple(changed.get(old.name, old) for old in pipeline.stages)
    kept = _with_ancestors(stages, _descendants(stages, stage))
    return replace(pipeline, stages=tuple(old for old in stages if old.name in kept))


def _descendants(stages: tuple[Stage, ...], start: str) -> set[str]:
    """`start` and whatever needs it; parents stand before their children."""
    found = {start}
    for stage in stages:
        if found.intersection(stage.needs):
            found.add(stage.name)
    return found


def _with_ancestors(stages: tuple[Stage, ...], names: set[str]) -> set[str]:
    """`names` and whatever they need."""
    found = set(names)
    for stage in reversed(stages):
        if stage.name in found:
            found.update(stage.needs)
    return found
