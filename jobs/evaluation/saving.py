"""An evaluation's checkpoints: the answers so far, and at the end its results.

The launcher sees by them that an evaluation moves, as it does with training.
"""

import time
from collections.abc import Mapping
from pathlib import Path

from jobs.checkpoint.store import aside_of, commit, prune
from jobs.contract.checkpointing import Checkpointing
from jobs.contract.files import write_atomic
from jobs.contract.manifest import Manifest, describe
from jobs.distributed import on_rank_0
from jobs.job import Job, RefusedError


def save(job: Job, step: int, files: Mapping[str, str], *, final: bool) -> Path:
    """Writes the texts as the checkpoint of `step`, on rank 0; all ranks must call it.

    Args:
        job: The rank's job.
        step: Rows answered.
        files: Texts by file name; only rank 0's are looked at.
        final: The stage is done with it.

    Returns:
        The checkpoint's folder.

    Raises:
        RefusedError: A newer attempt took over; nothing is saved.
    """
    target = job.folder.checkpoint(step, final=final)
    taken_over = on_rank_0(lambda: _write(job, target, step, files, final=final))
    if taken_over is not None:
        raise RefusedError(f"{taken_over}; the answers are not saved", fault="fenced")
    return target


def _write(
    job: Job, target: Path, step: int, files: Mapping[str, str], *, final: bool
) -> str | None:
    began = time.monotonic()
    taken_over = job.taken_over()
    if taken_over is not None:
        return taken_over
    aside = aside_of(target, job)
    aside.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        write_atomic(aside / name, text)
    manifest = Manifest(
        step=step,
        samples_seen=step,
        world_size=job.place.world_size,
        files=tuple(describe(aside / name, name) for name in files),
        save_s=time.monotonic() - began,
        code_sha=job.spec.code_sha,
        final=final,
    )
    taken_over = commit(aside, target, manifest, job)
    if taken_over is None:
        prune(job, Checkpointing(keep=1))
        told = {"path": str(target), "bytes": manifest.bytes, "save_s": manifest.save_s}
        job.tell("checkpoint", step=step, final=final, **told)
    return taken_over
