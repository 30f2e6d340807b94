"""The pipeline file's keys as pydantic models, and pydantic's complaints as our faults.

The stages' parts are validated one by one, so that a fault in one hides none in another.
"""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_args, get_type_hints

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from jobs.contract.spec import Model
from jobs.contract.strict import Strict
from jobs.contract.units import Duration
from launcher.pipeline.document import Document, KeyPath, suggestion
from launcher.pipeline.notify import Notify
from launcher.pipeline.parts import NO_MODEL, Reuse
from launcher.pipeline.requeue import USUAL, Requeue

Part = TypeVar("Part")
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]


class Expect(Strict):
    """How long a stage is expected to take; one of the two.

    Attributes:
        epoch: Time of one epoch.
        total: Time of the whole stage.
    """

    epoch: Duration | None = None
    total: Duration | None = None

    @model_validator(mode="after")
    def _is_one(self) -> "Expect":
        if (self.epoch is None) == (self.total is None):
            raise ValueError("give either epoch or total, such as {epoch: 6h}")
        return self


def _as_mapping(value: object) -> object:
    return {"path": value} if isinstance(value, str) else value


def _as_command(value: object) -> object:
    if isinstance(value, str):
        raise ValueError("must be a list; write each argument as an item: [torchrun, train.py]")  # noqa: TRY004 - pydantic's way
    return {"argv": value} if isinstance(value, list) else value


class StageSection(Strict):
    """One stage; it gives exactly one of `reuse`, `train`, `evaluate` and `command`.

    Attributes:
        needs: Its parents.
        reuse: A weights file, alone or with its sha256.
        train: What it trains.
        evaluate: What it evaluates.
        command: What program it runs; a list alone is its `argv`.
        expect: How long it takes; used by `plan`.
        cluster: Keys put over those of the pipeline's `cluster`.
        init_from: The parent whose weights it starts from. Default: the first that has some.
        resumable: A stopped attempt can be continued; without it an interruption is a failure.
        requeue: Keys put over those of the pipeline's `requeue`.
    """

    needs: tuple[Name, ...] = ()
    reuse: Annotated[Reuse, BeforeValidator(_as_mapping)] | None = None
    train: dict[str, Any] | None = None
    evaluate: dict[str, Any] | None = None
    command: Annotated[dict[str, Any], BeforeValidator(_as_command)] | None = None
    expect: Expect | None = None
    cluster: dict[str, Any] | None = None
    init_from: Name | None = None
    resumable: bool = True
    requeue: dict[str, Any] | None = None


class PipelineSection(Strict):
    """The keys that stand at the left edge of the file.

    Attributes:
        name: Of the pipeline; run ids begin with it.
        runs: Folder that holds the runs, from the pipeline file's folder.
        model: Which model the stages train; not needed where all are other programs.
        cluster: What every stage asks of the cluster.
        requeue: When to give up.
        notify: Environment variables that hold the URLs to send news to.
        stages: The stages in order of execution.
    """

    name: Name
    runs: Path = Path("runs")
    model: Model = NO_MODEL
    cluster: dict[str, Any] | None = None
    requeue: Requeue = USUAL
    notify: Notify = ()
    stages: Annotated[dict[Name, dict[str, Any] | None], Field(min_length=1)]


def read_part(
    document: Document,
    part: type[Part],
    path: KeyPath,
    data: object,
    *,
    fallback: KeyPath | None = None,
    may_lack: bool = False,
) -> Part | None:
    """`data`, which stands at `path`, as a `part`; None after its faults were noted.

    Args:
        document: Where the faults go.
        part: A pydantic model or an annotated dataclass.
        path: Where the data stands.
        data: Plain values.
        fallback: Where keys stand that are not under `path`.
        may_lack: Missing keys are no fault.
    """
    try:
        return TypeAdapter(part).validate_python(data)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            if (may_lack and detail["type"] == "missing") or _is_echo(detail):
                continue
            loc = detail["loc"]
            base = path
            if fallback is not None and loc and (*path, loc[0]) not in document.places:
                base = fallback
            _note(document, part, base, detail)
        return None


def _is_echo(detail: ErrorDetails) -> bool:
    """Pydantic calls a list too short, too, when its items are faulty."""
    return detail["type"] == "too_short" and bool(detail["input"])


def _note(document: Document, part: Any, base: KeyPath, detail: ErrorDetails) -> None:  # noqa: ANN401
    """Adds one of pydantic's complaints about a `part` at `base` as a fault."""
    loc = tuple(key for key in detail["loc"] if key != "[key]")
    if detail["type"] in _UNKNOWN:
        known = _keys(_type_at(part, loc[:-1]))
        document.fault((*base, *loc), f"unknown key; {suggestion(str(loc[-1]), known)}")
    elif detail["type"] == "missing":
        document.fault((*base, *loc), "missing; give it a value")
    else:
        document.fault((*base, *loc), _explain(detail))


def _explain(detail: ErrorDetails) -> str:
    """What is wrong with a value and what it must be."""
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    must = _MUST.get(detail["type"]) or detail["msg"].replace("Input should be", "must be")
    must = must.replace("greater than or equal to", "at least")
    if detail["type"] == "string_pattern_mismatch":
        must = f"must match {detail['ctx']['pattern']}"
    got = repr(detail["input"])
    return f"{must}, not {got if len(got) <= _SHOWN else got[:_SHOWN] + '...'}"


def _type_at(part: Any, loc: KeyPath) -> Any:  # noqa: ANN401 - types as values
    """The model or dataclass that holds the keys at `loc` inside `part`."""
    for key in loc:
        if isinstance(key, str) and key in (known := _keys(part)):
            part = _section_in(known[key]) or part
    return part


def _section_in(annotation: Any) -> Any:  # noqa: ANN401 - types as values
    """The model or dataclass inside an annotation such as `tuple[DataSet, ...] | None`."""
    if is_dataclass(annotation) or _is_model(annotation):
        return annotation
    found = (_section_in(inner) for inner in get_args(annotation))
    return next((section for section in found if section is not None), None)


def _keys(part: Any) -> dict[str, Any]:  # noqa: ANN401 - types as values
    """Keys of a section as written in the file, each with its annotation."""
    if _is_model(part):
        return {name: field.annotation for name, field in part.model_fields.items()}
    keys = {}
    hints = get_type_hints(part, include_extras=True)
    for name in (field.name for field in fields(part)):
        hint = hints[name]
        extras = getattr(hint, "__metadata__", ())
        alias = next((extra.alias for extra in extras if getattr(extra, "alias", None)), None)
        keys[alias or name] = hint
    return keys


def _is_model(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


_SHOWN: Final = 40
_UNKNOWN: Final = ("extra_forbidden", "unexpected_keyword_argument")
_MUST: Final = {
    "tuple_type": "must be a list",
    "dict_type": "must hold keys",
    "model_type": "must hold keys",
    "dataclass_type": "must hold keys",
    "path_type": "must be a path",
    "string_type": "must be text (quote it)",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "too_short": "must not be empty",
}
