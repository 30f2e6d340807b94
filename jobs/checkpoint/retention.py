"""Which checkpoints may go. Pure: what is on the disk comes in, what to remove goes out."""

import math
from collections.abc import Collection, Sequence
from pathlib import Path

from jobs.contract.checkpointing import Checkpointing
from jobs.contract.manifest import Manifest

Kept = tuple[Path, Manifest]


def removable(
    kept: Sequence[Kept], rules: Checkpointing, *, needed: Collection[Path] = ()
) -> list[Path]:
    """The checkpoints that nothing keeps, oldest first.

    Applied again after each save it keeps what it kept before, except that the newest and the
    best pass on to newer ones.

    Args:
        kept: All checkpoints of a stage that are on the disk, in any order.
        rules: What is to stay.
        needed: And what stays in any case: the newest that has been read back.
    """
    ordered = sorted(kept, key=lambda each: (each[1].step, each[1].final, each[0]))
    stays = {path for path, _ in ordered[-rules.keep :]}
    stays |= {path for path, manifest in ordered if manifest.final}
    stays |= set(needed)
    if rules.keep_every is not None:
        stays |= _firsts(ordered, rules.keep_every)
    if rules.keep_epochs:
        stays |= {path for path, manifest in ordered if manifest.ends_epoch}
    if rules.keep_best:
        stays |= _best(ordered)
    return [path for path, _ in ordered if path not in stays]


def _firsts(ordered: Sequence[Kept], every: int) -> set[Path]:
    """The first checkpoint at or after each multiple of `every` steps."""
    firsts: dict[int, Path] = {}
    for path, manifest in ordered:
        firsts.setdefault(manifest.step // every, path)
    return {path for multiple, path in firsts.items() if multiple}


def _best(ordered: Sequence[Kept]) -> set[Path]:
    """The newest of those with the lowest finite loss."""
    losses = [
        (manifest.loss, -place, path)
        for place, (path, manifest) in enumerate(ordered)
        if manifest.loss is not None and math.isfinite(manifest.loss)
    ]
    return {min(losses)[2]} if losses else set()
