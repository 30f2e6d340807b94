"""Turns plain dictionaries into frozen dataclasses and refuses what does not belong."""

import difflib
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from model.errors import ConfigError

T = TypeVar("T")


def build(cls: type[T], data: Mapping[str, Any], where: str) -> T:
    """Build a dataclass from a dictionary, nested dataclasses included.

    Args:
        cls: A dataclass type.
        data: Values by field name; fields with a default may be absent.
        where: The dotted place of `data`, for messages ("model.qformer").

    Raises:
        ConfigError: A field is unknown, missing or of the wrong type.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where}: expected a mapping of fields, got {data!r}")
    known: dict[str, Field[Any]] = {
        field.name: field
        for field in fields(cls)  # type: ignore[arg-type]
    }
    for name in data:
        if name not in known:
            raise ConfigError(f"{where}: unknown field {name!r}{_hint(str(name), known)}")
    absent = [
        name
        for name, field in known.items()
        if name not in data and field.default is MISSING and field.default_factory is MISSING
    ]
    if absent:
        raise ConfigError(f"{where}: missing field {', '.join(absent)}")
    hints = get_type_hints(cls)
    return cls(**{name: _value(hints[name], data[name], f"{where}.{name}") for name in data})


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Lay `changes` over `base`, mapping by mapping."""
    merged = dict(base)
    for name, change in changes.items():
        below = merged.get(name)
        both = isinstance(below, Mapping) and isinstance(change, Mapping)
        merged[name] = merge(cast(Mapping[str, Any], below), change) if both else change
    return merged


def _hint(name: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def _value(hint: Any, value: Any, where: str) -> Any:  # noqa: ANN401 - any field type
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        (hint,) = [part for part in get_args(hint) if part is not type(None)]
        return _value(hint, value, where)
    if is_dataclass(hint):
        return build(cast(type[Any], hint), value, where)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_value(get_args(hint)[0], item, where) for item in value)
    return _scalar(origin or hint, value, where)


def _scalar(kind: type, value: object, where: str) -> object:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ConfigError(f"{where}: expected {kind.__name__}, got {value!r}")
    return value
