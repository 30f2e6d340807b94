"""`--set key=value`: values of the command line put over those of the file."""

from yaml import MappingNode, Mark, Node, ScalarNode, SequenceNode

from launcher.errors import UsageError
from launcher.pipeline.document import compose, suggestion

_NULL = "tag:yaml.org,2002:null"
_STR = "tag:yaml.org,2002:str"
_MAP = "tag:yaml.org,2002:map"


def apply_overrides(root: Node, overrides: tuple[str, ...]) -> Node:
    """The document with each `key=value` put in; shared (aliased) parts are left as they are.

    A value is read as YAML. A key is a dotted path, list items by index. Keys that the
    file lacks are added: whether they exist at all is for the schema to say.

    Raises:
        UsageError: All overrides that cannot be put in.
    """
    faults: list[str] = []
    for override in overrides:
        try:
            root = _apply(root, override)
        except UsageError as error:
            faults += error.faults
    if faults:
        raise UsageError(faults)
    return root


def _apply(root: Node, override: str) -> Node:
    key, equals, text = override.partition("=")
    name = f"--set {override}"
    keys = key.strip().split(".")
    if not equals or not all(keys):
        raise UsageError(f"{name}: write key=value, such as --set cluster.nodes=2")
    value = compose(text, name) or _scalar("", name, _NULL)
    _check_stage(root, keys, name)
    try:
        return _replaced(root, keys, value, name)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None


def _replaced(node: Node | None, keys: list[str], value: Node, name: str) -> Node:
    """A copy of `node` with `value` at `keys`; raises ValueError where that cannot be."""
    if not keys:
        return value
    if isinstance(node, SequenceNode):
        index = _index(keys[0], len(node.value))
        items = list(node.value)
        items[index] = _replaced(items[index], keys[1:], value, name)
        return SequenceNode(node.tag, items, node.start_mark, node.end_mark)
    pairs, mark = _pairs(node, keys[0], value)
    return MappingNode(_MAP, _put(pairs, keys, value, name), mark, mark)


def _put(
    pairs: list[tuple[Node, Node]], keys: list[str], value: Node, name: str
) -> list[tuple[Node, Node]]:
    """`pairs` with `value` put at `keys`, added at the end where the first key is new."""
    head, rest = keys[0], keys[1:]
    new_key = _scalar(head, name, _STR)
    for at, (key, old) in enumerate(pairs):
        if key.value == head:
            kept = key if rest else new_key
            return [*pairs[:at], (kept, _replaced(old, rest, value, name)), *pairs[at + 1 :]]
    return [*pairs, (new_key, _replaced(None, rest, value, name))]


def _pairs(node: Node | None, key: str, value: Node) -> tuple[list[tuple[Node, Node]], Mark]:
    """Keys and values of `node`, none where it is empty, and its mark."""
    if node is None or node.tag == _NULL:
        return [], value.start_mark
    if isinstance(node, MappingNode):
        return list(node.value), node.start_mark
    raise ValueError(f"there is no key '{key}' in the plain value {node.value!r}; set that instead")


def _index(text: str, length: int) -> int:
    if text.isascii() and text.isdigit() and int(text) < length:
        return int(text)
    raise ValueError(f"'{text}' is not an item of a list of {length}; count from 0 to {length - 1}")


def _check_stage(root: Node, keys: list[str], name: str) -> None:
    """Raises UsageError for a stage that the file does not define."""
    if keys[0] != "stages" or len(keys) == 1 or not isinstance(root, MappingNode):
        return
    stages = next((value for key, value in root.value if key.value == "stages"), None)
    if isinstance(stages, MappingNode):
        known = [key.value for key, _ in stages.value]
        if keys[1] not in known:
            raise UsageError(f"{name}: no stage '{keys[1]}'; {suggestion(keys[1], known)}")


def _scalar(text: str, name: str, tag: str) -> ScalarNode:
    mark = Mark(name, 0, 0, 0, None, 0)
    return ScalarNode(tag, text, mark, mark)
