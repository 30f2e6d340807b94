"""From a pipeline file to a `Pipeline`, or to all that is wrong with it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jobs.contract.command import Command
from jobs.contract.evaluation import Evaluate
from jobs.contract.spec import Train
from jobs.contract.strict import Strict
from launcher.pipeline.checks import KINDS, Draft, check, giving_weights
from launcher.pipeline.document import Document, KeyPath, compose, read_nodes, read_text
from launcher.pipeline.overrides import apply_overrides
from launcher.pipeline.parts import NO_JOB, ClusterSettings, Pipeline, Reuse, Stage
from launcher.pipeline.requeue import OF_THE_RUN, USUAL, StageRequeue
from launcher.pipeline.schema import PipelineSection, StageSection, read_part


def load_pipeline(
    path: Path, overrides: Sequence[str] = (), environ: Mapping[str, str] = os.environ
) -> Pipeline:
    """Reads and checks a pipeline file; touches nothing, and its inputs need not exist.

    Args:
        path: The file.
        overrides: `key=value` pairs of `--set`, put over the file in their order.
        environ: `LAUNCHER_RUNS` in it takes the place of `runs`.

    Raises:
        UsageError: With every fault, one line each, in the order of the file.
    """
    document = _read(path, tuple(overrides))
    top = read_part(document, PipelineSection, (), document.data)
    drafts = _drafts(document)
    check(document, drafts)
    if document.faults or top is None:
        raise document.error()
    folder = path.absolute().parent
    runs = environ.get("LAUNCHER_RUNS")
    return Pipeline(
        name=top.name,
        path=path.absolute(),
        runs=Path(runs).expanduser().absolute() if runs else _absolute(top.runs, folder),
        model=_absolute(top.model, folder),
        requeue=top.requeue,
        notify=top.notify,
        stages=tuple(_stage(document, draft, drafts, top, folder) for draft in drafts),
    )


def _read(path: Path, overrides: tuple[str, ...]) -> Document:
    name = str(path)
    root = compose(read_text(path), name)
    if root is not None and overrides:
        root = apply_overrides(root, overrides)
    return read_nodes(root, name)


def _drafts(document: Document) -> list[Draft]:
    """The stages as far as they can be read; their faults are noted."""
    top = _mapping(document.data.get("cluster"))
    read_part(document, ClusterSettings, ("cluster",), top, may_lack=True)
    stages = _mapping(document.data.get("stages"))
    return [_draft(document, name, _mapping(raw), top) for name, raw in stages.items()]


def _draft(document: Document, name: str, raw: dict[str, Any], top: dict[str, Any]) -> Draft:
    path = ("stages", name)
    kinds = tuple(kind for kind in KINDS if raw.get(kind) is not None)
    parts: dict[str, Any] = {}
    for kind, part in (("train", Train), ("evaluate", Evaluate), ("command", Command)):
        if isinstance(raw.get(kind), dict):
            parts[kind] = read_part(document, part, (*path, kind), raw[kind])
    if isinstance(raw.get("command"), list):
        parts["command"] = _read_argv(document, (*path, "command"), raw["command"])
    if kinds != ("reuse",):
        merged = top | _mapping(raw.get("cluster"))
        own = (*path, "cluster")
        parts["cluster"] = read_part(document, ClusterSettings, own, merged, fallback=("cluster",))
    parts["requeue"] = _own_requeue(document, (*path, "requeue"), _mapping(raw.get("requeue")))
    section = read_part(document, StageSection, path, raw) or StageSection()
    return Draft(name, raw, section, kinds, **parts)


def _read_argv(document: Document, path: KeyPath, argv: list[Any]) -> Command | None:
    """The command that is given by its arguments alone."""
    for at in range(len(argv)):
        document.places[*path, "argv", at] = document.places[*path, at]
    return read_part(document, Command, path, {"argv": argv})


def _own_requeue(document: Document, path: KeyPath, raw: dict[str, Any]) -> StageRequeue:
    """What a stage says about giving up; nothing where it is faulty."""
    for key in raw.keys() & set(OF_THE_RUN):
        document.fault((*path, key), "is of the whole run; move it to requeue at the top")
    own = {key: value for key, value in raw.items() if key not in OF_THE_RUN}
    return read_part(document, StageRequeue, path, own) or StageRequeue()


def _stage(
    document: Document,
    draft: Draft,
    drafts: Sequence[Draft],
    top: PipelineSection,
    folder: Path,
) -> Stage:
    """A stage of a document without faults."""
    section = draft.section
    giving = () if draft.command else giving_weights(draft, drafts)
    expect = section.expect
    return Stage(
        name=draft.name,
        kind=draft.kinds[0],
        needs=section.needs,
        cluster=_settings(draft),
        reuse=section.reuse and _absolute(section.reuse, folder),
        train=draft.train and _absolute(draft.train, folder),
        evaluate=draft.evaluate and _absolute(draft.evaluate, folder),
        command=draft.command and _at_home(draft.command, folder),
        expect_epoch_s=expect.epoch if expect else None,
        expect_s=expect.total if expect else None,
        init_from=section.init_from or next(iter(giving), None),
        resumable=section.resumable,
        requeue=USUAL if section.reuse else draft.requeue.over(top.requeue),
        line=document.place(draft.path).line,
    )


def _settings(draft: Draft) -> ClusterSettings:
    """What the stage asks of the cluster: one task a node where its program starts the rest."""
    settings = draft.cluster or NO_JOB
    if draft.command is not None and draft.command.per_node:
        return replace(settings, tasks_per_node=1)
    return settings


def _at_home(command: Command, folder: Path) -> Command:
    """A program that runs in the pipeline file's folder, or in another that starts from there."""
    return command.model_copy(update={"cwd": _absolute(command.cwd, folder)})


def _absolute(value: Any, folder: Path) -> Any:  # noqa: ANN401 - gives back what it takes
    """`value` with every path in it starting from `folder`, if it is not absolute."""
    if isinstance(value, Path):
        return folder / value.expanduser()
    if isinstance(value, tuple):
        return tuple(_absolute(item, folder) for item in value)
    if isinstance(value, Reuse):
        return replace(value, path=_absolute(value.path, folder))
    if isinstance(value, Strict):
        changed = {key: _absolute(getattr(value, key), folder) for key in value.model_fields_set}
        return value.model_copy(update=changed)
    return value


def _mapping(value: object) -> dict[str, Any]:
    """`value` if it holds keys; whether it should is for the schema to say."""
    return value if isinstance(value, dict) else {}
