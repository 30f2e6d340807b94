"""Lists of a checkpoint's keys, at full size on the meta device: names, shapes, who takes them."""

import json
import re
from collections.abc import Iterator

from model.freezing import trainable_parameters
from model.layouts import from_reference, layout_of
from model.weights import shapes_of
from tests.parity.findings import Finding, same
from tests.parity.full_size import full_size, stage_of
from tests.parity.vectors import Vector

Rows = dict[str, tuple[tuple[int, ...], str, str]]
"""Shape, type and what else is said of each key."""


def recognises(vector: Vector) -> bool:
    """A table of keys."""
    return vector.path.suffix == ".txt" and "columns: key, shape" in _head(vector)


def check(vector: Vector) -> Iterator[Finding]:
    """Names, shapes, types, what is trained, and what later stages take of it."""
    head, rows = _head(vector), _rows(vector)
    stage, form = stage_of(head)
    model = full_size(stage, form)
    renamed = from_reference({name: shape for name, (shape, *_) in rows.items()})
    layout, trained = layout_of(rows), trainable_parameters(model)
    theirs = {name: layout.ours(name) or name for name in rows if not layout.is_spare(name)}
    ours = shapes_of(model)
    whole = ours if stage == 1 else {name: ours[name] for name in trained}
    told = re.search(r"(\d+) keys", head)
    yield same("number of keys", len(rows), int(told[1]) if told else None)
    yield same("names", sorted(renamed), sorted(whole))
    for name, shape in renamed.items():
        yield same(f"{layout.theirs(name)}: shape", shape, whole.get(name))
    types = {rows[name][1] for name in theirs}
    kinds = {str(value.dtype).removeprefix("torch.") for value in trained.values()}
    yield same("types", types, kinds)
    told_trained = {theirs[n] for n in theirs if "frozen" not in rows[n][2]}
    yield same("trained", sorted(told_trained), sorted(trained))
    counted = re.search(r"trainable parameters: (\d+)", head)
    if counted:
        total = sum(value.numel() for value in trained.values())
        yield same("trainable parameters", total, int(counted[1]))
    for later in sorted(set(re.findall(r"->stage(\d)", vector.path.read_text(encoding="utf-8")))):
        taken = {theirs[n] for n in theirs if f"->stage{later}" in rows[n][2]}
        place = shapes_of(full_size(int(later), form))
        yield same(f"what stage {later} takes", sorted(taken), sorted(ours.keys() & place.keys()))


def _head(vector: Vector) -> str:
    lines = vector.path.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line.startswith("#"))


def _rows(vector: Vector) -> Rows:
    rows: Rows = {}
    for line in vector.path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, shape, dtype, kind = line.split("\t", 3)
            rows[name] = (tuple(json.loads(shape)), dtype, kind)
    return rows
