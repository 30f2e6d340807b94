"""The ids of all rules by which a pass decides, read from the code that decides."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import launcher
from docs.generate.docstrings import UndocumentedError
from launcher.reconcile.policy import Action

_LAUNCHER: Final = Path(launcher.__file__).parent
_POLICY: Final = _LAUNCHER / "reconcile" / "policy"
_ACTIONS: Final = {
    "nothing": "nothing",
    "hold": "hold",
    "fail": "fail",
    "cancelled": "cancel",
    "resubmit": "resubmit",
}
"""The functions of `policy/decision.py` that make a decision, and what it then does."""
_TRIED_AGAIN: Final = "_again_or_fail"
"""Resubmits, or fails with `-for-good` behind the rule."""
_PASSED_ON: Final = ("decision.py",)
"""Files in which a rule is a parameter only."""


def rules() -> dict[str, set[str]]:
    """What each rule may do, by its id.

    Raises:
        UndocumentedError: A decision's rule is not written where it can be read.
    """
    found: dict[str, set[str]] = {}
    for path in sorted(_POLICY.glob("*.py")):
        if path.name not in _PASSED_ON:
            for rule, action in _rules_in(path):
                found.setdefault(rule, set()).add(action)
    return found


def other_rules() -> set[str]:
    """The ids that the rest of the launcher gives to what it does."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in _LAUNCHER.rglob("*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    given = [word.value for call in calls for word in call.keywords if word.arg == "rule"]
    texts = {value.value for value in given if isinstance(value, ast.Constant)}
    return {str(text) for text in texts} - rules().keys()


def _rules_in(path: Path) -> Iterator[tuple[str, str]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    constants = _constants(_POLICY.glob("*.py"))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        name = node.func.id
        if name in _ACTIONS and not _is_passed_on(node.args[0]):
            yield _text(node.args[0], constants, path), _ACTIONS[name]
        elif name == _TRIED_AGAIN:
            rule = _text(node.args[1], constants, path)
            yield rule, "resubmit"
            yield f"{rule}-for-good", "fail"
        elif name == "Decision":
            told = {word.arg: word.value for word in node.keywords}
            if not _is_passed_on(told["rule"]):
                action = told["action"]
                if not isinstance(action, ast.Attribute):
                    raise UndocumentedError(f"{path.name}:{node.lineno}: no action can be read")
                yield _text(told["rule"], constants, path), str(Action[action.attr])


def _is_passed_on(rule: ast.expr) -> bool:
    """Whether a rule is taken over from another decision, or made by `_again_or_fail`."""
    is_parameter = isinstance(rule, ast.Name) and rule.id == "rule"
    return isinstance(rule, ast.Attribute | ast.JoinedStr) or is_parameter


def _text(node: ast.expr, constants: dict[str, str], path: Path) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name) and node.id in constants:
        return constants[node.id]
    raise UndocumentedError(f"{path.name}:{node.lineno}: no rule can be read")


def _constants(paths: Iterable[Path]) -> dict[str, str]:
    """The texts that modules give a name to."""
    found: dict[str, str] = {}
    for path in paths:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
                found |= dict.fromkeys(names, str(node.value.value))
    return found
