"""Weights load strictly: what a file may lack or hold besides is listed by the caller.

Notable: shapes are compared from the header before any tensor is read; all that differs
is named at once, each with its nearest match.
"""

import difflib
import json
import os
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from model.errors import WeightsError

Shapes = Mapping[str, tuple[int, ...]]
FINDINGS_SHOWN = 10
WRAPPERS = ("model", "module")


def shapes_of(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Give the shape of each weight and buffer by name; a module on "meta" will do."""
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def check_file(
    path: Path,
    expected: Shapes,
    *,
    may_lack: Sequence[str] = (),
    may_ignore: Sequence[str] = (),
) -> list[str]:
    """Compare a file with expected shapes; of safetensors only the header is read.

    Args:
        path: .safetensors, .pth or .pt.
        expected: Shapes by name.
        may_lack: Patterns (`projector.*`) of names that the file need not hold.
        may_ignore: Patterns of names in the file that are not wanted.

    Returns:
        One line for each difference; empty when the file fits.

    Raises:
        WeightsError: The file cannot be read.
    """
    return _differences(_read_shapes(path), expected, may_lack, may_ignore)


def load_weights(
    module: nn.Module,
    path: Path,
    *,
    may_lack: Sequence[str] = (),
    may_ignore: Sequence[str] = (),
) -> None:
    """Load a file into a module; nothing is loaded unless all of it fits.

    Args:
        module: Where to load; it keeps its types and devices.
        path: .safetensors, .pth or .pt (a `model` or `module` wrapper is taken off).
        may_lack: Patterns (`projector.*`) of weights that keep their value.
        may_ignore: Patterns of names in the file that are not wanted.

    Raises:
        WeightsError: The file cannot be read or does not fit; every difference is named.
    """
    findings = check_file(path, shapes_of(module), may_lack=may_lack, may_ignore=may_ignore)
    _refuse(findings, str(path), module)
    _copy(_read_tensors(path), module)


def load_tensors(
    module: nn.Module, tensors: Mapping[str, Tensor], *, source: str, may_lack: Sequence[str] = ()
) -> None:
    """Load tensors by name into a module; nothing is loaded unless all of it fits.

    Args:
        module: Where to load; it keeps its types and devices.
        tensors: The weights.
        source: What to call them in an error.
        may_lack: Patterns of weights that keep their value.

    Raises:
        WeightsError: They do not fit; every difference is named.
    """
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    _refuse(_differences(found, shapes_of(module), may_lack, ()), source, module)
    _copy(tensors.items(), module)


def read_tensors(path: Path, patterns: Sequence[str]) -> dict[str, Tensor]:
    """Give the tensors of a file whose names match one of the patterns."""
    return {name: value for name, value in _read_tensors(path) if _matches(name, patterns)}


def save_weights(module: nn.Module, path: Path, *, exclude: Sequence[str] = ()) -> None:
    """Write a module's weights as safetensors; the file is there whole or not at all.

    Args:
        module: Its weights and buffers are written.
        path: .safetensors; its folder exists.
        exclude: Patterns of names to leave out.
    """
    tensors = {
        # Cloned, because a file cannot hold one storage under two names (tied weights).
        name: value.detach().cpu().contiguous().clone()
        for name, value in module.state_dict().items()
        if not _matches(name, exclude)
    }
    write_tensors(tensors, path)


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors (contiguous, no two of one storage) as safetensors, whole or not at all."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    save_file(dict(tensors), aside, metadata={"format": "pt"})
    aside.chmod(0o644)  # safetensors makes files for their owner alone; run folders are shared
    with aside.open("rb") as written:
        os.fsync(written.fileno())
    aside.replace(path)


def _differences(
    found: Shapes, expected: Shapes, may_lack: Sequence[str], may_ignore: Sequence[str]
) -> list[str]:
    unknown = [n for n in found if n not in expected and not _matches(n, may_ignore)]
    missing = [n for n in expected if n not in found and not _matches(n, may_lack)]
    wrong = [n for n in found if n in expected and found[n] != expected[n]]
    return [
        *(
            f"unknown key {name} {list(found[name])}{_nearest(name, missing or expected)}"
            for name in unknown
        ),
        *(
            f"missing key {name} {list(expected[name])}{_nearest(name, unknown or found)}"
            for name in missing
        ),
        *(
            f"wrong shape {name} {list(found[name])}, the model has {list(expected[name])}"
            for name in wrong
        ),
    ]


def _refuse(findings: Sequence[str], source: str, module: nn.Module) -> None:
    if findings:
        rest = len(findings) - FINDINGS_SHOWN
        more = [f"and {rest} more"] if rest > 0 else []
        lines = "\n  ".join([*findings[:FINDINGS_SHOWN], *more])
        raise WeightsError(f"{source} does not fit {type(module).__name__}:\n  {lines}")


def _copy(tensors: Iterable[tuple[str, Tensor]], module: nn.Module) -> None:
    targets = module.state_dict()
    with torch.no_grad():
        for name, tensor in tensors:
            if name in targets:
                targets[name].copy_(tensor)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return name in patterns or any("*" in p and fnmatchcase(name, p) for p in patterns)


def _nearest(name: str, others: Sequence[str] | Shapes) -> str:
    close = difflib.get_close_matches(name, list(others), n=1, cutoff=0.5)
    return f"; nearest: {close[0]}" if close else ""


def _read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    if path.suffix != ".safetensors":
        return {name: tuple(value.shape) for name, value in _read_pickle(path).items()}
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header: dict[str, Any] = json.loads(file.read(length))
            return {
                name: tuple(entry["shape"])
                for name, entry in header.items()
                if name != "__metadata__"
            }
    except (OSError, ValueError, KeyError, TypeError, MemoryError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file ({error})") from error


def _read_tensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    if path.suffix != ".safetensors":
        yield from _read_pickle(path).items()
        return
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 - not a mapping
            yield name, file.get_tensor(name)


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise WeightsError(f"{path}: not a readable torch file ({error})") from error
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise WeightsError(f"{path}: holds no weights by name")
    return content
