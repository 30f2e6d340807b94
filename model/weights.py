"""Weights load strictly: what a file may lack or hold besides is listed by the caller.

Notable: shapes are compared from the header before any tensor is read; all that differs
is named at once, each with its nearest match, as the file spells it: a file of the original
VideoChat2 is recognised by its names and taken as it is.
"""

import difflib
import heapq
import json
import os
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from os.path import commonprefix
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from model.errors import WeightsError
from model.layouts import COPIES, HARMLESS, SCALARS, Layout, as_vector, layout_of

Shapes = Mapping[str, tuple[int, ...]]
FINDINGS_SHOWN = 10
NEAREST_TRIED = 10
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
        may_lack: Patterns (`projector.*`) of our names that the file need not hold.
        may_ignore: Patterns of our names that the file may hold and nobody wants.

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
        path: .safetensors, .pth or .pt (a `model` or `module` wrapper is taken off), in our
            layout or the original's.
        may_lack: Patterns (`projector.*`) of our names of weights that keep their value.
        may_ignore: Patterns of our names that the file may hold and nobody wants.

    Raises:
        WeightsError: The file cannot be read or does not fit; every difference is named.
    """
    expected = shapes_of(module)
    findings = check_file(path, expected, may_lack=may_lack, may_ignore=may_ignore)
    _refuse(findings or _unequal_copies(path, expected), str(path), module)
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
    _copy(_renamed(tensors.items(), layout_of(tensors)), module)


def read_tensors(path: Path, patterns: Sequence[str]) -> dict[str, Tensor]:
    """Give the tensors of a file whose names, as ours, match one of the patterns."""
    return {name: value for name, value in _read_tensors(path) if _matches(name, patterns)}


def names_in(path: Path) -> frozenset[str]:
    """Name the weights of a file, as ours; what no model of ours has keeps its own name.

    Raises:
        WeightsError: The file cannot be read.
    """
    shapes = _read_shapes(path)
    layout = layout_of(shapes)
    return frozenset(layout.ours(name) or name for name in shapes if not layout.is_spare(name))


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
    """All names are the file's from here on, that an error can be looked up in the file."""
    layout = layout_of(found)
    wanted = _spelled(expected, layout)
    unknown = [
        name
        for name in found
        if name not in wanted
        and not layout.is_spare(name)
        and not _matches(layout.ours(name) or name, may_ignore)
    ]
    missing = [
        theirs
        for theirs, ours in zip(wanted, expected, strict=True)
        if theirs not in found and not _matches(ours, may_lack)
    ]
    copies = {copy: wanted[kept] for copy, kept in COPIES.items() if kept in wanted}
    wrong = {
        name: shape
        for name, shape in ({**wanted, **copies} if layout.reference else wanted).items()
        if name in found and found[name] != shape
    }
    return [
        *(
            f"unknown key {name} {list(found[name])}{_nearest(name, missing or wanted)}"
            for name in unknown
        ),
        *(
            f"missing key {name} {list(wanted[name])}{_nearest(name, unknown or found)}"
            for name in missing
        ),
        *(
            f"wrong shape {name} {list(found[name])}, the model has {list(shape)}"
            for name, shape in wrong.items()
        ),
    ]


def _spelled(expected: Shapes, layout: Layout) -> dict[str, tuple[int, ...]]:
    named = {layout.theirs(name): shape for name, shape in expected.items()}
    scalars = {name: () for name in SCALARS if layout.reference and named.get(name) == (1,)}
    return {**named, **scalars}


def _unequal_copies(path: Path, expected: Shapes) -> list[str]:
    """Where a file of the original holds one parameter twice, both must say the same."""
    found = _read_shapes(path)
    layout = layout_of(found)
    if not layout.reference or not any(layout.theirs(n) in COPIES.values() for n in expected):
        return []
    twice = {copy: kept for copy, kept in COPIES.items() if copy in found and kept in found}
    held = {n: t for n, t in _read_stored(path) if n in {*twice, *twice.values()}}
    return [
        f"{copy} {list(held[copy].shape)} differs from {kept}, of which it is a copy"
        for copy, kept in twice.items()
        if not torch.equal(held[copy], held[kept])
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


def _nearest(name: str, others: Iterable[str]) -> str:
    parts = set(name.split("."))

    def kinship(other: str) -> tuple[int, int]:
        return len(parts.intersection(other.split("."))), len(commonprefix([name, other]))  # noqa: RUF071 - letters

    # difflib alone takes half a second for each name of a large model.
    likely = heapq.nlargest(NEAREST_TRIED, others, key=kinship)
    close = difflib.get_close_matches(name, likely, n=1, cutoff=0.5)
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
    return _renamed(_read_stored(path), layout_of(_read_shapes(path)))


def _renamed(tensors: Iterable[tuple[str, Tensor]], layout: Layout) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in tensors:
        if not layout.is_spare(name):
            value = as_vector(tensor) if layout.reference and name in SCALARS else tensor
            yield layout.ours(name) or name, value


def _read_stored(path: Path) -> Iterator[tuple[str, Tensor]]:
    if path.suffix != ".safetensors":
        yield from _read_pickle(path).items()
        return
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 - not a mapping
            yield name, file.get_tensor(name)


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        with torch.serialization.safe_globals([*HARMLESS]):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise WeightsError(f"{path}: not a readable torch file ({error})") from error
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise WeightsError(f"{path}: holds no weights by name")
    return content
