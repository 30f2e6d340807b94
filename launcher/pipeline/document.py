"""YAML read as nodes, so that every value knows its line.

The scalars are those of YAML 1.2: `12:30:00` stays text and `1e-4` is a number, which
PyYAML's own rules (YAML 1.1) take for 45000 and for text.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode

from launcher.errors import UsageError

KeyPath = tuple[str | int, ...]

_FEW: Final = 8
_TAG: Final = "tag:yaml.org,2002:"
_SCALARS: Final = (
    ("null", re.compile(r"^(?:~|null|Null|NULL|)$"), [*"~nN", ""]),
    ("bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), [*"tTfF"]),
    ("int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), [*"-+0123456789"]),
    (
        "float",
        re.compile(r"^[-+]?(?:(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+)$", re.ASCII),
        [*"-+.0123456789"],
    ),
)
_RESOLVERS: Final = {
    first: [(_TAG + name, pattern) for name, pattern, firsts in _SCALARS if first in firsts]
    for first in {first for _, _, firsts in _SCALARS for first in firsts}
}


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = _RESOLVERS


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers = _RESOLVERS

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


@dataclass(frozen=True, order=True)
class Place:
    """Where a value was given; file lines sort before overrides.

    Attributes:
        rank: 0 in the file, 1 on the command line.
        line: Line of the file, counted from 1.
        text: As shown: `pipeline.yaml:14` or `--set cluster.nodes=0`.
    """

    rank: int
    line: int
    text: str


@dataclass(frozen=True, order=True)
class Fault:
    """One thing that is wrong, and what to do about it."""

    place: Place
    path: str
    text: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place.text, self.path, self.text) if part)


@dataclass(frozen=True)
class Document:
    """A YAML file as plain values, with the place of each.

    Attributes:
        data: Dictionaries, lists and scalars; keys are always text.
        places: Where each key or list item stands, the root under `()`.
        faults: What is wrong so far; whoever checks on adds to it.
    """

    data: dict[str, Any]
    places: dict[KeyPath, Place]
    faults: list[Fault] = field(default_factory=list)

    def place(self, path: KeyPath) -> Place:
        """Where `path` stands, or the nearest thing around it that exists."""
        while path not in self.places:
            path = path[:-1]
        return self.places[path]

    def fault(self, path: KeyPath, text: str, *, at: KeyPath | None = None) -> None:
        """Adds a fault of `path`, once; `at`: the path whose line to name instead."""
        place = self.place(path if at is None else at)
        found = Fault(place, ".".join(map(str, path)), text)
        if found not in self.faults:
            self.faults.append(found)

    def error(self) -> UsageError:
        """All faults in the order of their lines."""
        return UsageError(str(fault) for fault in sorted(self.faults))


def read_text(path: Path) -> str:
    """The file's text; raises UsageError where it cannot be read."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        there = sorted(file.name for file in path.parent.glob("*.yaml"))
        hint = f"here are: {', '.join(there)}" if there else "name a pipeline file"
        raise UsageError(f"{path}: no such file; {hint}") from None
    except IsADirectoryError:
        raise UsageError(f"{path}: is a folder; name the pipeline file in it") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        bad = error.object[error.start]
        raise UsageError(f"{path}:{line}: not UTF-8 (byte 0x{bad:02x}); save it as UTF-8") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; check the path and its rights") from None


def compose(text: str, name: str) -> Node | None:
    """The nodes of one YAML document called `name`; None when it holds nothing.

    Raises:
        UsageError: It is not YAML.
    """
    loader = None
    try:
        loader = _Loader(text)
        loader.name = name
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark and not is_override(name) else ""
        what = error.problem or error.context
        raise UsageError(f"{name}{line}: not YAML: {what}; mind indents and quotes") from None
    except yaml.reader.ReaderError as error:
        where = text[: error.position].count("\n") + 1
        raise UsageError(f"{name}:{where}: not YAML: {error.reason}; remove it") from None
    except RecursionError:
        raise UsageError(f"{name}: not a pipeline: nested too deeply; flatten it") from None
    finally:
        if loader is not None:
            loader.dispose()


def is_override(name: str) -> bool:
    """Whether a node's source is the command line."""
    return name.startswith("--set ")


def read_nodes(root: Node | None, name: str) -> Document:
    """The plain values of a document whose root must be a mapping.

    Raises:
        UsageError: It is empty, not a mapping, or contains itself.
    """
    if root is None or (isinstance(root, ScalarNode) and root.tag == _TAG + "null"):
        raise UsageError(f"{name}: is empty; write name, model, cluster and stages into it")
    if not isinstance(root, MappingNode):
        line = root.start_mark.line + 1
        raise UsageError(f"{name}:{line}: not a mapping; begin with `name: ...`")
    document = Document({}, {(): Place(0, 1, f"{name}:1")})
    try:
        document.data.update(_plain_mapping(document, root, ()))
    except RecursionError:
        raise UsageError(f"{name}: an alias contains itself; write its value out") from None
    return document


def dump(data: dict[str, Any]) -> str:
    """YAML that `compose` reads back to the same values."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def suggestion(wrong: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?` and what is known, unless that is a long list."""
    from difflib import get_close_matches  # noqa: PLC0415 - only needed once something is wrong

    names = list(known)
    close = get_close_matches(wrong, names, n=1)
    hints = [f"did you mean '{close[0]}'?"] if close else []
    if not close or len(names) <= _FEW:
        hints.append(f"known: {', '.join(names)}")
    return " ".join(hints)


def _place_of(node: Node) -> Place:
    name, line = node.start_mark.name, node.start_mark.line + 1
    return Place(1, 0, name) if is_override(name) else Place(0, line, f"{name}:{line}")


def _plain(document: Document, node: Node, path: KeyPath) -> Any:  # noqa: ANN401 - any YAML value
    if isinstance(node, MappingNode):
        return _plain_mapping(document, node, path)
    if isinstance(node, SequenceNode):
        for index, item in enumerate(node.value):
            document.places[*path, index] = _place_of(item)
        return [_plain(document, item, (*path, i)) for i, item in enumerate(node.value)]
    try:
        return _FROM_TEXT[node.tag.removeprefix(_TAG)](node.value)
    except (KeyError, ValueError):
        document.fault(path, f"{node.value!r} cannot be read as {node.tag}; write it plainly")
        return None


def _plain_mapping(document: Document, node: MappingNode, path: KeyPath) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in _pairs(node):
        if not isinstance(key, ScalarNode):
            document.fault(path, "a key must be a word; quote it if it holds [ or {")
            continue
        here = (*path, key.value)
        if key.value in values:
            first = document.place(here).text
            document.places[here] = _place_of(key)
            document.fault(here, f"given twice, first at {first}; remove one")
        document.places[here] = _place_of(key)
        values[key.value] = _plain(document, value, here)
    return values


def _pairs(node: MappingNode) -> list[tuple[Node, Node]]:
    """The pairs of a mapping; those that `<<: *alias` merges in give way to its own."""
    own = [pair for pair in node.value if not _is_merge(*pair)]
    names = {key.value for key, _ in own if isinstance(key, ScalarNode)}
    merged = [pair for key, value in node.value if _is_merge(key, value) for pair in _pairs(value)]
    return [*(pair for pair in merged if pair[0].value not in names), *own]


def _is_merge(key: Node, value: Node) -> bool:
    return isinstance(key, ScalarNode) and key.value == "<<" and isinstance(value, MappingNode)


_FROM_TEXT: Final[dict[str, Any]] = {
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": int,
    "float": float,
    "str": str,
}
