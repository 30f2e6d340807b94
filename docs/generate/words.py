"""The types of the pipeline file in words."""

from collections.abc import Callable, Iterable
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from docs.generate.docstrings import UndocumentedError
from jobs.contract.command import Argument, ResumingArgument, Text, Variable, Words
from jobs.contract.sampling import SAMPLE
from jobs.contract.units import Duration, Size
from launcher.pipeline.nodes import Nodes
from launcher.pipeline.notify import Notify
from launcher.pipeline.schema import Name

LinkTo = Callable[[type], str | None]
"""The words for a type that has a section of its own; None: it has none."""

_ALIASES: Final[tuple[tuple[Any, str], ...]] = (
    (Duration, "duration"),
    (Size, "size"),
    (Nodes, "whole number, or a range such as `2-4`"),
    (Notify, "name or list of names"),
    (Words, "text or list of texts"),
    (Text, "text with names"),
    (Argument, "text with names"),
    (ResumingArgument, "text with names"),
    (Variable, "name of a variable"),
    (Name, "name"),
)
"""What is validated by a function of ours; the first that fits counts."""
_PATTERNS: Final = {SAMPLE: "word, see there", r"^[0-9a-f]{64}$": "64 hexadecimal digits"}
_PLURALS: Final = {"text": "texts", "name": "names", "text with names": "texts with names"}
_PLAIN: Final = {
    bool: "`true` or `false`",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
}


def in_words(hint: Any, link_to: LinkTo) -> str:  # noqa: ANN401 - types as values
    """What may be written where this type is wanted.

    Raises:
        UndocumentedError: There are no words for it yet; they belong here.
    """
    extras = getattr(hint, "__metadata__", ())
    if extras:
        return _annotated(hint, extras, link_to)
    linked = link_to(hint) if isinstance(hint, type) else None
    if linked is not None or hint in _PLAIN:
        return linked or _PLAIN[hint]
    return _made_of(get_origin(hint), get_args(hint), link_to)


def _made_of(origin: Any, inner: tuple[Any, ...], link_to: LinkTo) -> str:  # noqa: ANN401
    """The words for a type that is made of others."""
    if origin is Literal:
        return _choice(f"`{value}`" for value in inner)
    if origin in (Union, UnionType):
        return _choice(in_words(each, link_to) for each in inner if each is not NoneType)
    if origin is tuple and inner[1:] == (...,):
        told = in_words(inner[0], link_to)
        return f"list of {_PLURALS.get(told, told)}"
    if origin is dict:
        return "keys with values"
    raise UndocumentedError(f"docs.generate.words has no words for {origin}{list(inner)}")


def _annotated(hint: Any, extras: Iterable[Any], link_to: LinkTo) -> str:  # noqa: ANN401
    for alias, told in _ALIASES:
        if all(any(mark == extra for extra in extras) for mark in alias.__metadata__):
            return told
    limits = {name: value for extra in extras for name, value in _limits(extra)}
    if pattern := limits.get("pattern"):
        if pattern not in _PATTERNS:
            raise UndocumentedError(f"{pattern}: docs.generate.words has no words for this pattern")
        return _PATTERNS[pattern]
    return in_words(get_args(hint)[0], link_to) + _range(limits)


def _limits(extra: Any) -> Iterable[tuple[str, Any]]:  # noqa: ANN401
    """What pydantic's `Field` bounds a value by."""
    for limit in getattr(extra, "metadata", ()):
        for name in ("ge", "gt", "le", "pattern"):
            value = getattr(limit, name, None)
            if value is not None:
                yield name, value


def _range(limits: dict[str, Any]) -> str:
    low, above, high = (limits.get(name) for name in ("ge", "gt", "le"))
    if high is not None:
        return f" from {low} to {high}" if low is not None else f" above {above}, up to {high}"
    if above is not None:
        return f" above {above}"
    return f", {low} or more" if low is not None else ""


def _choice(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last
