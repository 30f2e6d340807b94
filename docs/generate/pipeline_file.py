"""Every key of the pipeline file, from the types that read it."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast, get_args, get_type_hints

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from docs.generate.docstrings import UndocumentedError, attributes, summary
from docs.generate.tables import table
from docs.generate.words import in_words
from jobs.contract.checkpointing import Checkpointing
from jobs.contract.command import Command, Progress, Stop, Watched
from jobs.contract.evaluation import Evaluate, Task
from jobs.contract.placeholders import NAMES
from jobs.contract.spec import DataSet, LossScaling, Model, Train
from jobs.contract.units import format_duration
from launcher.pipeline.parts import ClusterSettings, Reuse
from launcher.pipeline.requeue import OF_THE_RUN, Requeue, StageRequeue
from launcher.pipeline.schema import Expect, PipelineSection, StageSection

_TOP: Final = "The top of the file"
SECTIONS: Final[Mapping[str, type]] = {
    _TOP: PipelineSection,
    "model": Model,
    "cluster": ClusterSettings,
    "requeue": Requeue,
    "stages.NAME": StageSection,
    "reuse": Reuse,
    "expect": Expect,
    "train": Train,
    "train.data": DataSet,
    "train.checkpoint": Checkpointing,
    "train.loss_scaling": LossScaling,
    "evaluate": Evaluate,
    "evaluate.tasks": Task,
    "command": Command,
    "command.stop": Stop,
    "command.checkpoints": Watched,
    "command.progress": Progress,
}
"""The type that reads each section; the names are the headings of the page."""
_READ_APART: Final[Mapping[tuple[type, str], type]] = {
    (PipelineSection, "cluster"): ClusterSettings,
    (PipelineSection, "stages"): StageSection,
    (StageSection, "train"): Train,
    (StageSection, "evaluate"): Evaluate,
    (StageSection, "command"): Command,
    (StageSection, "cluster"): ClusterSettings,
    (StageSection, "requeue"): Requeue,
}
"""Keys whose own type only says that they hold keys, and what these are read as."""
_REQUIRED: Final = "required"
_KEY_NOTE: Final = re.compile(r", key\s+`\w+`")
_NAMES: Final = {section: name for name, section in SECTIONS.items()}


@dataclass(frozen=True)
class Key:
    """A key of the pipeline file.

    Attributes:
        name: As it is written.
        type: What may be written there.
        default: What holds without it.
        meaning: What it does.
    """

    name: str
    type: str
    default: str
    meaning: str


def sections() -> str:
    """All sections with their keys, as Markdown."""
    own, whole = set(_hints(StageRequeue)), set(_hints(Requeue)) - set(OF_THE_RUN)
    if own != whole:
        raise UndocumentedError(f"requeue of a stage: {own ^ whole} is in one of the two types")
    return "\n\n".join(_section(name, part) for name, part in SECTIONS.items())


def placeholders() -> str:
    """The names in braces that a command may use, as a table."""
    return table(
        ("name", "what stands for it"), [(f"`{{{n}}}`", told) for n, told in NAMES.items()]
    )


def keys(part: type) -> Iterator[Key]:
    """The keys of a section.

    Raises:
        UndocumentedError: One has no sentence in the docstring, or no words for its type.
    """
    told, defaults = attributes(part), _defaults(part)
    for field, hint in _hints(part).items():
        name = _alias(hint) or field
        if field not in told:
            raise UndocumentedError(f"{part.__name__}.{field}: the docstring does not tell of it")
        yield Key(
            name,
            _type(part, field, hint),
            _default(defaults[field], hint),
            _KEY_NOTE.sub("", told[field]).replace("None: ", "without it: "),
        )


def _section(name: str, part: type) -> str:
    heading = name if name == _TOP else f"`{name}`"
    rows = [(f"`{key.name}`", key.type, key.default, key.meaning) for key in keys(part)]
    columns = ("key", "value", "default", "meaning")
    return f"## {heading}\n\n{summary(part)}\n\n{table(columns, rows)}"


def _hints(part: type) -> dict[str, Any]:
    hints = get_type_hints(part, include_extras=True)
    if issubclass(part, BaseModel):
        return {name: hints[name] for name in part.model_fields}
    return {name: hints[name] for name in _defaults(part)}


def _alias(hint: Any) -> str | None:  # noqa: ANN401 - types as values
    extras = getattr(hint, "__metadata__", ())
    return next((extra.alias for extra in extras if getattr(extra, "alias", None)), None)


def _type(part: type, field: str, hint: Any) -> str:  # noqa: ANN401 - types as values
    if (part, field) in _READ_APART:
        return _link(_READ_APART[part, field]) or ""
    return in_words(hint, _link)


def _link(part: type) -> str | None:
    """A link to the section of a type; None for a type that is no section."""
    if part in _NAMES:
        name = _NAMES[part]
        return f"[{name}](#{slug(name)})"
    if dataclasses.is_dataclass(part) or issubclass(part, BaseModel):
        raise UndocumentedError(f"{part.__name__} holds keys and has no section in this page")
    return None


def slug(heading: str) -> str:
    """The anchor that Markdown makes of a heading."""
    return re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")


def _defaults(part: type) -> dict[str, Any]:
    if issubclass(part, BaseModel):
        fields = part.model_fields.items()
        return {name: field.get_default(call_default_factory=True) for name, field in fields}
    found = {}
    for field in dataclasses.fields(cast("Any", part)):
        made = field.default_factory
        found[field.name] = field.default if made is dataclasses.MISSING else made()
    return found


def _default(value: Any, hint: Any) -> str:  # noqa: ANN401 - whatever a key may hold
    """A default as the file would write it; a dash where there is nothing to write."""
    if value in (PydanticUndefined, dataclasses.MISSING):
        return _REQUIRED
    texts = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(text, bool | int | float | str | Path) for text in texts):
        return "-"
    is_duration = "duration" in in_words(_without_section(hint), lambda _: "")
    return ", ".join(_written(text, is_duration=is_duration) for text in texts) or "-"


def _written(value: float | str | Path, *, is_duration: bool) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int) and is_duration:
        return f"`{format_duration(value)}`"
    return "-" if value == Path() else f"`{value}`"


def _without_section(hint: Any) -> Any:  # noqa: ANN401 - types as values
    """The type, or text where it holds a section, which has no default to write."""
    inner = [hint, *get_args(hint)]
    return str if any(each in _NAMES for each in inner if isinstance(each, type)) else hint
