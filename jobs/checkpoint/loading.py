"""Goes back to a checkpoint, whatever number of ranks or ZeRO stage has saved it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch.distributed as dist

from jobs.checkpoint.progress import Progress
from jobs.checkpoint.saver import BUFFER, STATE
from jobs.checkpoint.shards import Shards
from jobs.checkpoint.state import EngineState, Piece
from jobs.contract.manifest import faults, read_manifest
from jobs.job import RefusedError


def load(state: EngineState, checkpoint: Path) -> Progress:
    """Restores masters, moments, loss scale and buffers from a verified checkpoint.

    Args:
        state: Of an engine that has made no step; all ranks call it.
        checkpoint: The folder.

    Raises:
        OSError: It is not whole any more.
        RefusedError: It is of another model, or was saved by an older version.
    """
    manifest = read_manifest(checkpoint)
    if manifest is None or faults(checkpoint, manifest, digests=False):
        raise OSError(f"{checkpoint}: not a whole checkpoint")
    told = _told(checkpoint)
    if wrong := _differences(state.shapes, told["shapes"]):
        raise RefusedError(
            f"{checkpoint} is of another model: {'; '.join(wrong)}. Use the settings that it was "
            f"saved with, or remove {checkpoint.parent} to start at step 0"
        )
    shards = Shards(
        checkpoint / file.name for file in manifest.files if file.name.startswith("state-")
    )
    if fault := _prepare(state, told["updates"]):
        raise RefusedError(f"{checkpoint}: {fault}")
    for piece in state.pieces():
        shards.fill(piece)
    for name, buffer in state.buffers().items():
        shards.fill(Piece(BUFFER, name, 0, buffer.detach().view(-1)))
    state.settle(told["scaler"])
    return Progress(**told["progress"])


def _prepare(state: EngineState, updates: Mapping[str, float]) -> str:
    """What is wrong on the first rank where anything is; empty: nothing. All ranks call it."""
    own = ""
    try:
        state.prepare(updates)
    except ValueError as error:
        own = str(error)
    found = [""] * dist.get_world_size()
    dist.all_gather_object(found, own)
    return next(filter(None, found), "")


def _told(checkpoint: Path) -> dict[str, Any]:
    path = checkpoint / STATE
    if not path.is_file():
        raise RefusedError(
            f"{checkpoint}: has no {STATE}: it was saved by an older version of this program. "
            f"Finish the run with that, or remove {checkpoint.parent} to start at step 0"
        )
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return told


def _differences(own: dict[str, tuple[int, ...]], saved: dict[str, list[int]]) -> list[str]:
    """What trained parameters differ, the first few."""
    wrong = [f"no {name} in it" for name in own.keys() - saved.keys()]
    wrong += [f"{name} is not trained here" for name in saved.keys() - own.keys()]
    wrong += [
        f"{name} is {tuple(saved[name])} in it, {shape} here"
        for name, shape in own.items()
        if name in saved and tuple(saved[name]) != shape
    ]
    return sorted(wrong)[:3]
