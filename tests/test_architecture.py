"""Fails on an arrow between packages that the design does not draw."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("launcher", "db", "jobs", "model")
MAY_IMPORT = {
    "launcher": ("launcher", "db", "jobs.contract"),
    "db": ("db",),
    "jobs.contract": ("jobs.contract",),
    "jobs": ("jobs", "model"),
    "model": ("model",),
}
"""What of ours each package may import; the longest name that fits a module counts."""
EXCEPTIONS = {
    # The callable that submitit pickles: it must not load torch before it runs on a node.
    ("jobs/contract/task.py", "jobs.task"),
}
LIGHT = ("launcher", "db", "jobs.contract")
"""Runs on a login node, without the packages of `[train]`."""
HEAVY = {
    "torch", "numpy", "transformers", "decord", "deepspeed", "av", "peft", "safetensors",
    "tensorboard", "tokenizers",
}  # fmt: skip
MAY_PRINT = ("launcher/show/", "launcher/cli.py")
LONGEST = 300
MAY_BE_LONGER: dict[str, str] = {}
"""Files over the limit, each with its reason."""

FILES = [path for package in OURS for path in sorted((ROOT / package).rglob("*.py"))]


def name_of(path: Path) -> str:
    """The dotted name of a module."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """All that a file imports, also inside functions; `from a import b` gives `a.b`."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def within(module: str, packages) -> bool:
    """Whether a module is one of the packages or inside one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def test_every_package_is_there():
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == set(OURS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_imports_only_along_the_arrows_of_the_design(path):
    here = str(path.relative_to(ROOT))
    package = max((name for name in MAY_IMPORT if within(name_of(path), [name])), key=len)

    wrong = [
        module
        for module in imports(path)
        if within(module, OURS)
        and not within(module, MAY_IMPORT[package])
        and not any((here, allowed) in EXCEPTIONS for allowed in parents(module))
    ]

    assert wrong == []


def parents(module: str) -> list[str]:
    """`a.b.c`, `a.b` and `a`."""
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if within(name_of(path), LIGHT)],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_file_of_the_login_node_imports_nothing_of_the_train_extra(path):
    assert sorted(HEAVY & {module.split(".")[0] for module in imports(path)}) == []


def test_launcher_loads_no_torch_whatever_of_it_is_imported():
    script = (
        "import importlib, pkgutil, sys, db, jobs.contract, launcher\n"
        "for top in (launcher, db, jobs.contract):\n"
        "    for found in pkgutil.walk_packages(top.__path__, top.__name__ + '.'):\n"
        "        if '.migrations.' not in found.name:\n"
        "            importlib.import_module(found.name)\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)), 'launcher.cli' in sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("[] True\n", "")


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if within(name_of(path), LIGHT)],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_only_the_rooms_for_showing_print(path):
    here = str(path.relative_to(ROOT))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    streams = {"sys.stdout", "sys.stderr"}

    printing = [
        node.lineno
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id == "print")
        or (isinstance(node, ast.Attribute) and ast.unparse(node) in streams)
    ]

    assert here.startswith(MAY_PRINT) or printing == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_is_not_too_long(path):
    here = str(path.relative_to(ROOT))

    assert here in MAY_BE_LONGER or len(path.read_text("utf-8").splitlines()) <= LONGEST
