"""Counts of parameters at full size, and what each later model takes of an earlier file."""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from model.freezing import ADAPTER, trainable_parameters
from model.layouts import COPIES, SCALARS, Layout
from model.presets import PRESETS
from model.weights import check_file, shapes_of
from tests.parity.findings import Finding, compare, same
from tests.parity.full_size import FORMS, full_size
from tests.parity.vectors import Vector

TOTALS = ("TOTAL_trainable", "frozen", "lora_tensors", "LoRA")
CALLED = {"mistral": "mistral", "vicuna": "llama", "phi3": "phi"}
"""What the original calls the language model of each form."""
INV_FREQ = ".rotary_emb.inv_freq"


def recognises(vector: Vector) -> bool:
    """Counts by part."""
    return any(isinstance(v, dict) and "TOTAL_trainable" in v for v in vector.facts.values())


def check(vector: Vector) -> Iterator[Finding]:
    """Every count, every list."""
    for title, told in vector.facts.items():
        start = re.fullmatch(r"stage(\d)_(\w+?)_load_from_stage(\d)", title)
        step = re.fullmatch(r"stage(\d)_to_stage(\d)_(\w+)", title)
        count = re.fullmatch(r"stage(\d)(?:_([a-z]+))?", title)
        if start:
            yield from _loading(title, told, int(start[3]), int(start[1]), FORMS[start[2]])
        elif step:
            yield from _loading(title, told, int(step[1]), int(step[2]), FORMS[step[3]])
        elif title.endswith("drop_path_list"):
            layers: Any = full_size(1, "mistral").qformer.layers
            rates = [layer.query_ffn.output.drop_path.rate for layer in layers]
            yield compare(title, rates, told, 1e-7)
        elif count:
            yield from _counts(title, told, full_size(int(count[1]), FORMS[count[2] or "mistral"]))
        else:
            yield same(title, "not understood", told)


def _counts(title: str, told: Mapping[str, int], model: nn.Module) -> Iterator[Finding]:
    trained = {name: value.numel() for name, value in trainable_parameters(model).items()}
    adapters = [name for name in trained if ADAPTER in name]
    frozen = [p.numel() for p in model.parameters() if not p.requires_grad]
    totals = (sum(trained.values()), sum(frozen), len(adapters), sum(trained[n] for n in adapters))
    for what, got in zip(TOTALS, totals, strict=True):
        if what in told:
            yield same(f"{title}.{what}", got, told[what])
    layout = _layout(next((n for n in told if n.endswith("_proj") and n[0] in "mlp"), ""))
    parts: dict[str, int] = {}
    for name, size in trained.items():
        if name not in adapters:
            part = layout.theirs(name).partition(".")[0]
            parts[part] = parts.get(part, 0) + size
    yield same(f"{title}: parts", parts, {n: size for n, size in told.items() if n not in TOTALS})


def _layout(projector: str) -> Layout:
    return Layout(reference=True, language_model=projector.removesuffix("_proj"))


def _loading(
    title: str, told: Mapping[str, Any], before: int, after: int, form: str
) -> Iterator[Finding]:
    """Our loader's own words on a file of the earlier stage, of which there is the head alone."""
    file = _file_of(before, form)
    model = full_size(after, form)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "earlier.safetensors"
        _write_head(file, path)
        said = [line.split() for line in check_file(path, shapes_of(model))]
    unknown = {words[2] for words in said if words[0] == "unknown"}
    missing = {_ours(words[2].rstrip(";"), form) for words in said if words[0] == "missing"}
    outside = {name for name in missing if not name.startswith("language_model.")}
    # What we know to be of no use is no finding of ours; the original's loader names it.
    spare = {n for n in file if n in COPIES or (after == 3 and n.endswith(INV_FREQ))}
    yield same(f"{title}.loaded", len(file) - len(unknown | spare), told["loaded"])
    yield from _listed(f"{title}.unexpected", unknown | spare, told["unexpected"])
    for key in ("missing_outside_llm", "not_in_stage2_file_outside_llm"):
        if key in told:
            names = [_ours(name, form) for name in told[key]]
            yield from _listed(f"{title}.{key}", outside, names)
    wrong = [words[2] for words in said if words[0] == "wrong"]
    yield same(f"{title}: wrong shapes", wrong, told.get("shape_mismatch", []))


def _file_of(stage: int, form: str) -> dict[str, tuple[int, ...]]:
    """Shapes by name in the original's file: all of stage 1, of the others what is trained."""
    model = full_size(stage, form)
    family = "" if stage == 1 else CALLED[form]
    layout = Layout(reference=True, language_model=family)
    shapes = shapes_of(model)
    kept = shapes if stage == 1 else {name: shapes[name] for name in trainable_parameters(model)}
    file = {layout.theirs(name): shape for name, shape in kept.items()}
    file |= {copy: file[whole] for copy, whole in COPIES.items() if whole in file}
    file |= {name: () for name in SCALARS if name in file}
    file["qformer.bert.embeddings.position_ids"] = (1, model.cfg.qformer.max_positions)
    if family == "llama":  # transformers 4.40 saves this buffer for Llama alone
        sizes = PRESETS[f"videochat2_{form}"].language_model.sizes
        for index in range(sizes.layers if sizes else 0):
            file[f"llama_model.model.layers.{index}.self_attn{INV_FREQ}"] = (64,)
    return file


def _write_head(shapes: Mapping[str, tuple[int, ...]], path: Path) -> None:
    """Writes a safetensors file without its tensors."""
    entries = {n: {"dtype": "F32", "shape": s, "data_offsets": [0, 0]} for n, s in shapes.items()}
    head = json.dumps(entries).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head)


def _listed(what: str, names: set[str], told: list[str]) -> Iterator[Finding]:
    """A list that may end in how many more there are, or in how many there are in all."""
    named = [name for name in told if not re.match(r"(total|\.\.\. and) \d+", name)]
    (last,) = [*set(told) - set(named)] or [f"total {len(named)}"]
    number = int(re.sub(r"\D+(\d+).*", r"\1", last))
    yield same(f"{what}: not in ours", sorted(set(named) - names), [])
    count = number if last.startswith("total") else number + len(named)
    yield same(f"{what}: number", len(names), count)


def _ours(name: str, form: str) -> str:
    layout = Layout(reference=True, language_model=CALLED[form])
    return layout.ours(name) or name
