"""Saving and loading the state of a training run.

Notable: everything is written into a folder aside; when all ranks are done, rank 0 lists and
digests the files and makes the checkpoint visible (`jobs.checkpoint.store`). DeepSpeed's own `latest` is
never written (`jobs.contract.manifest` says why).
"""

import random
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import deepspeed
import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from jobs.checkpoint.progress import Progress
from jobs.checkpoint.store import aside_of, commit
from jobs.contract.manifest import Manifest, describe, faults, read_manifest
from jobs.distributed import on_rank_0
from jobs.job import Job, RefusedError
from model.weights import load_tensors, write_tensors

WEIGHTS = "weights.safetensors"
_STATE_KEY = "trainer_state"


def weights_to_keep(module: nn.Module) -> dict[str, torch.Tensor]:
    """What another stage starts from: all but the frozen weights of the language model.

    Those come from their own folder. Under ZeRO-3 every rank must call this, and gets whole
    tensors.
    """
    kept = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad or not name.startswith("language_model."):
            with deepspeed.zero.GatheredParameters(
                [parameter], enabled=hasattr(parameter, "ds_id")
            ):
                kept[name] = parameter.detach().to("cpu", copy=True)
    persistent = module.state_dict().keys() - dict(module.named_parameters()).keys()
    for name, buffer in module.named_buffers():
        if name in persistent and not name.startswith("language_model."):
            kept[name] = buffer.detach().to("cpu", copy=True)
    return kept


def save(
    engine: Any,  # noqa: ANN401 - DeepSpeed is untyped
    job: Job,
    progress: Progress,
    *,
    carried: Mapping[str, torch.Tensor],
    final: bool,
    parent: str | None,
) -> tuple[Path, Manifest]:
    """Saves a checkpoint; all ranks call it, at an accumulation boundary.

    Args:
        engine: DeepSpeed's.
        job: This rank's view of the attempt.
        progress: Where the run stands.
        carried: Weights to add to those of the module in a final checkpoint.
        final: The stage is done; the checkpoint also holds weights to start from.
        parent: The checkpoint that the attempt began with, or saved before.

    Returns:
        Its folder and manifest, when both are whole on the disk.

    Raises:
        RefusedError: A newer attempt took over; nothing that can be seen was changed.
    """
    began = time.monotonic()
    target = job.folder.checkpoint(progress.step, final=final)
    aside = aside_of(target, job)
    if dist.get_rank() == 0:
        aside.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(aside, ignore_errors=True)
    dist.barrier()
    _write_state(engine, aside, progress, weights=carried if final else None)
    dist.barrier()

    taken_over = on_rank_0(
        lambda: commit(
            aside,
            target,
            Manifest(
                step=progress.step,
                epoch=progress.epoch,
                samples_seen=progress.samples_seen,
                world_size=dist.get_world_size(),
                files=tuple(describe(path, path.name) for path in sorted(aside.iterdir())),
                weights=WEIGHTS if final else None,
                save_s=time.monotonic() - began,
                parent=parent,
                code_sha=job.spec.code_sha,
                final=final,
            ),
            job,
        )
    )
    if taken_over is not None:
        raise RefusedError(f"{taken_over}; step {progress.step} is not saved", fault="fenced")
    return target, read_manifest(target) or _vanished(target)


def _write_state(
    engine: Any,  # noqa: ANN401 - DeepSpeed is untyped
    aside: Path,
    progress: Progress,
    *,
    weights: Mapping[str, torch.Tensor] | None,
) -> None:
    """Writes this rank's files; with `weights` also those to start from, and the module's."""
    engine.save_checkpoint(
        str(aside.parent),
        tag=aside.name,
        client_state={_STATE_KEY: vars(progress)},
        save_latest=False,
        exclude_frozen_parameters=True,
    )
    torch.save(random_state(), aside / f"random-{dist.get_rank():05d}.pt")
    if weights is not None:
        whole = {**weights, **weights_to_keep(engine.module)}
        if dist.get_rank() == 0:
            write_tensors(whole, aside / WEIGHTS)


def _vanished(target: Path) -> Manifest:
    raise OSError(f"{target}: the manifest that was just written cannot be read")


def load(engine: Any, checkpoint: Path) -> Progress:  # noqa: ANN401 - DeepSpeed is untyped
    """Restores weights, optimizer, random state and position from a verified checkpoint.

    Raises:
        OSError: It is not whole any more.
        RefusedError: It was written by another number of ranks.
    """
    manifest = read_manifest(checkpoint)
    if manifest is None or faults(checkpoint, manifest, digests=False):
        raise OSError(f"{checkpoint}: not a whole checkpoint")
    if manifest.world_size != dist.get_world_size():
        raise RefusedError(
            f"{checkpoint}: written by {manifest.world_size} ranks, this job has "
            f"{dist.get_world_size()}; give the stage the same nodes and tasks_per_node"
        )
    _, client_state = engine.load_checkpoint(
        str(checkpoint.parent), tag=checkpoint.name, custom_load_fn=_load_trained
    )
    random_file = checkpoint / f"random-{dist.get_rank():05d}.pt"
    # Our own file, its digest verified above us: the generators' states are no plain tensors.
    restore_random_state(torch.load(random_file, weights_only=False))
    return Progress(**client_state[_STATE_KEY])


def _load_trained(src: dict[str, torch.Tensor], dst: nn.Module) -> None:
    """Loads the saved weights; only frozen ones may be missing from them."""
    frozen = [name for name, parameter in dst.named_parameters() if not parameter.requires_grad]
    load_tensors(dst, src, source="checkpoint", may_lack=frozen)


def random_state() -> dict[str, Any]:
    """State of all random number generators of this process."""
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Puts the generators back to what `random_state` gave."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"])
