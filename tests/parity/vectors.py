"""The files of a folder of vectors, as they are on the disk."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

WEIGHT = "w."
"""Marks a tensor that is a weight under the original's key."""


@dataclass(frozen=True)
class Vector:
    """One description with its tensors, or one list of keys.

    Attributes:
        path: The .json, or the .txt of a list of keys.
        facts: What the .json says; empty for a list of keys.
    """

    path: Path
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """File name without its suffix."""
        return self.path.stem

    @property
    def module(self) -> str:
        """What of the original it was made from, in its own words."""
        return str(self.facts.get("module", ""))

    def named(self, key: str) -> dict[str, dict[str, Any]]:
        """The parts of one of the facts by name; none where it does not consist of such."""
        found = self.facts.get(key)
        if isinstance(found, dict) and all(isinstance(part, dict) for part in found.values()):
            return found
        return {}

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """Inputs and outputs by name; empty where there is no file of them."""
        return {n: t for n, t in self._stored.items() if not n.startswith(WEIGHT)}

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """Weights by the original's own keys."""
        return {n[len(WEIGHT) :]: t for n, t in self._stored.items() if n.startswith(WEIGHT)}

    @cached_property
    def _stored(self) -> dict[str, Tensor]:
        stored = self.path.with_suffix(".safetensors")
        return load_file(stored) if stored.exists() else {}


def read_folder(folder: Path) -> list[Vector]:
    """All vectors of a folder and of `keys/` below it, by name.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: A description is not JSON.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    paths = [*sorted(folder.glob("*.json")), *sorted(folder.glob("keys/*.*"))]
    return [Vector(path, _facts(path)) for path in paths if path.suffix in (".json", ".txt")]


def _facts(path: Path) -> dict[str, Any]:
    if path.suffix != ".json":
        return {}
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: is not JSON: {error}") from error
    return facts if isinstance(facts, dict) else {}
