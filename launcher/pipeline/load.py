"""From a pipeline file to a `Pipeline`, or to all that is wrong with it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jobs.contract.spec import Evaluate, Strict, Train
from launcher.pipeline.checks import KINDS, Draft, check
from launcher.pipeline.document import Document, compose, read_nodes, read_text
from launcher.pipeline.overrides import apply_overrides
from launcher.pipeline.parts import NO_JOB, ClusterSettings, Pipeline, Reuse, Stage
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
        stages=tuple(_stage(document, draft, drafts, folder) for draft in drafts),
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
    for kind, part in (("train", Train), ("evaluate", Evaluate)):
        if isinstance(raw.get(kind), dict):
            parts[kind] = read_part(document, part, (*path, kind), raw[kind])
    if kinds != ("reuse",):
        merged = top | _mapping(raw.get("cluster"))
        own = (*path, "cluster")
        parts["cluster"] = read_part(document, ClusterSettings, own, merged, fallback=("cluster",))
    section = read_part(document, StageSection, path, raw) or StageSection()
    return Draft(name, raw, section, kinds, **parts)


def _stage(document: Document, draft: Draft, drafts: Sequence[Draft], folder: Path) -> Stage:
    """A stage of a document without faults."""
    section = draft.section
    evaluations = {other.name for other in drafts if other.kinds == ("evaluate",)}
    giving = (need for need in section.needs if need not in evaluations)
    expect = section.expect
    return Stage(
        name=draft.name,
        kind=draft.kinds[0],
        needs=section.needs,
        cluster=draft.cluster or NO_JOB,
        reuse=section.reuse and _absolute(section.reuse, folder),
        train=draft.train and _absolute(draft.train, folder),
        evaluate=draft.evaluate and _absolute(draft.evaluate, folder),
        expect_epoch_s=expect.epoch if expect else None,
        expect_s=expect.total if expect else None,
        init_from=section.init_from or next(giving, None),
        resumable=section.resumable,
        line=document.place(draft.path).line,
    )


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
