"""How the original VideoChat2 names its weights, and how this project names them: one table.

Notable: a row is a pair of patterns, read from left to right and from right to left; `*`
stands for one part of a name (a layer's number) and `**` for all that follows. What a file
holds twice or computes anew each time stands here too, and nothing is left out elsewhere.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypeVar

from torch import Tensor

from model.errors import WeightsError

Value = TypeVar("Value", Tensor, tuple[int, ...])

LANGUAGE_MODELS = ("mistral", "llama", "phi")
"""What the original calls its language models, in `llama_proj` and `llama_model.`."""

_LAYER, _OUR_LAYER = "qformer.bert.encoder.layer.*.", "qformer.layers.*."
_BLOCK, _OUR_BLOCK = "vision_encoder.encoder.blocks.*.", "video_encoder.blocks.*."
_HEAD = "qformer.cls.predictions."

TABLE: tuple[tuple[str, str], ...] = (
    ("vision_encoder.encoder.patch_embed.proj.**", "video_encoder.patch_embed.**"),
    (f"{_BLOCK}mlp.fc1.**", f"{_OUR_BLOCK}fc1.**"),
    (f"{_BLOCK}mlp.fc2.**", f"{_OUR_BLOCK}fc2.**"),
    (f"{_BLOCK}attn.**", f"{_OUR_BLOCK}attn.**"),
    (f"{_BLOCK}norm1.**", f"{_OUR_BLOCK}norm1.**"),
    (f"{_BLOCK}norm2.**", f"{_OUR_BLOCK}norm2.**"),
    ("vision_layernorm.**", "visual_norm.**"),
    ("vision_temp_embed", "frame_embedding"),
    ("temp", "temperature"),
    ("vision_proj.**", "video_projection.**"),
    ("text_proj.**", "text_projection.**"),
    ("itm_head.**", "match_head.**"),
    ("query_tokens", "qformer.query_tokens"),
    ("extra_query_tokens", "qformer.extra_query_tokens"),
    ("qformer.bert.embeddings.word_embeddings.**", "qformer.text_embedding.words.**"),
    ("qformer.bert.embeddings.position_embeddings.**", "qformer.text_embedding.positions.**"),
    ("qformer.bert.embeddings.LayerNorm.**", "qformer.embedding_norm.**"),
    (f"{_LAYER}attention.output.dense.**", f"{_OUR_LAYER}self_attention.output.dense.**"),
    (f"{_LAYER}attention.output.LayerNorm.**", f"{_OUR_LAYER}self_attention.output.norm.**"),
    (f"{_LAYER}attention.self.**", f"{_OUR_LAYER}self_attention.**"),
    (f"{_LAYER}crossattention.output.dense.**", f"{_OUR_LAYER}cross_attention.output.dense.**"),
    (f"{_LAYER}crossattention.output.LayerNorm.**", f"{_OUR_LAYER}cross_attention.output.norm.**"),
    (f"{_LAYER}crossattention.self.**", f"{_OUR_LAYER}cross_attention.**"),
    (f"{_LAYER}intermediate_query.dense.**", f"{_OUR_LAYER}query_ffn.dense.**"),
    (f"{_LAYER}output_query.dense.**", f"{_OUR_LAYER}query_ffn.output.dense.**"),
    (f"{_LAYER}output_query.LayerNorm.**", f"{_OUR_LAYER}query_ffn.output.norm.**"),
    (f"{_LAYER}intermediate.dense.**", f"{_OUR_LAYER}text_ffn.dense.**"),
    (f"{_LAYER}output.dense.**", f"{_OUR_LAYER}text_ffn.output.dense.**"),
    (f"{_LAYER}output.LayerNorm.**", f"{_OUR_LAYER}text_ffn.output.norm.**"),
    (f"{_HEAD}transform.dense.**", "qformer.caption_head.dense.**"),
    (f"{_HEAD}transform.LayerNorm.**", "qformer.caption_head.norm.**"),
    (f"{_HEAD}bias", "qformer.caption_head.bias"),
)
"""The original's name, our name; the first row that fits counts.

The language model's rows depend on the file: `Layout`.
"""

DROPPED = (
    "qformer.bert.embeddings.position_ids",
    *(f"{each}_model.**.rotary_emb.inv_freq" for each in LANGUAGE_MODELS),
)
"""Buffers of the original that hold no training: counted or computed anew by each model."""

COPIES = {
    f"{_HEAD}decoder.weight": "qformer.bert.embeddings.word_embeddings.weight",
    f"{_HEAD}decoder.bias": f"{_HEAD}bias",
}
"""Names under which the original stores one parameter a second time."""

SCALARS = ("temp",)
"""Numbers without dimensions in the original that are vectors of one here."""


class _Settings:
    """Stands for the settings that the original saves beside its weights."""

    def __new__(cls) -> OrderedDict[str, Any]:  # type: ignore[misc]
        """Give what torch lets a weights file fill."""
        return OrderedDict()


HARMLESS = ((_Settings, "utils.easydict.EasyDict"),)
"""Classes of the original's checkpoints; each is read as an inert dictionary."""

_ROOTS = re.compile(
    r"vision_|temp$|text_proj\.|itm_head\.|query_tokens$|extra_query_tokens$|qformer\.(bert|cls)\."
    rf"|({'|'.join(LANGUAGE_MODELS)})_(proj|model)\."
)


@dataclass(frozen=True)
class Layout:
    """How one file names its weights.

    Attributes:
        reference: Whether it is the original's; else it is our own and nothing is renamed.
        language_model: Which of `LANGUAGE_MODELS` it holds something of; "" for none.
        wrapped: Whether the language model's names begin with peft's `base_model.model.`.
        adapted: Our names of the layers whose weight lies beside an adapter, as peft 0.4 has it.
    """

    reference: bool = False
    language_model: str = ""
    wrapped: bool = False
    adapted: frozenset[str] = frozenset()

    def ours(self, name: str) -> str | None:
        """Our name of a weight in the file; None where there is no place for it in any model."""
        if not self.reference:
            return name
        ours = _renamed(name, self._rows)
        if ours is not None and ours.rpartition(".")[0] in self.adapted:
            return _in_base_layer(ours)
        return ours

    def theirs(self, name: str) -> str:
        """The file's name of one of our weights; our own where the file cannot hold it."""
        if not self.reference:
            return name
        if name.replace(".base_layer.", ".").rpartition(".")[0] in self.adapted:
            name = name.replace(".base_layer.", ".")
        return _renamed(name, self._rows_back) or name

    def is_spare(self, name: str) -> bool:
        """Whether a name of the file stands for nothing of its own."""
        known = name in COPIES or any(_filled(name, each, each) for each in DROPPED)
        return self.reference and known

    @cached_property
    def _rows(self) -> tuple[tuple[str, str], ...]:
        if not self.language_model:
            return TABLE
        prefix = f"{self.language_model}_model.{'base_model.model.' if self.wrapped else ''}"
        return (
            *TABLE,
            (f"{self.language_model}_proj.**", "projector.linear.**"),
            (f"{prefix}**", "language_model.**"),
        )

    @cached_property
    def _rows_back(self) -> tuple[tuple[str, str], ...]:
        return tuple((ours, theirs) for theirs, ours in self._rows)


def layout_of(names: Iterable[str]) -> Layout:
    """Recognise a file's layout by its names."""
    found = frozenset(names)
    if 2 * sum(bool(_ROOTS.match(name)) for name in found) <= len(found):
        return Layout()
    held = [each for each in LANGUAGE_MODELS if any(name.startswith(f"{each}_") for name in found)]
    layout = Layout(
        reference=True,
        language_model=held[0] if held else "",
        wrapped=any("_model.base_model.model." in name for name in found),
    )
    adapters = {layout.ours(n) or "" for n in found if ".lora_A." in n}
    layers = {name.partition(".lora_A.")[0] for name in adapters}
    explicit = {(layout.ours(n) or "").partition(".base_layer.")[0] for n in found}
    return Layout(
        layout.reference, layout.language_model, layout.wrapped, frozenset(layers - explicit)
    )


def from_reference(values: Mapping[str, Value]) -> dict[str, Value]:
    """Give the original's tensors, or their shapes, under our names.

    Args:
        values: By the original's names, `model` wrapper taken off.

    Returns:
        What a model of ours loads; buffers and second copies are left out.

    Raises:
        WeightsError: A name is in no row of the table.
    """
    layout = layout_of(values)
    renamed: dict[str, Value] = {}
    for name, value in values.items():
        if layout.is_spare(name):
            continue
        ours = layout.ours(name)
        if ours is None or not layout.reference:
            raise WeightsError(f"{name}: not a name of the original VideoChat2")
        renamed[ours] = as_vector(value) if name in SCALARS else value
    return renamed


def as_vector(value: Value) -> Value:
    """Give a number without dimensions, or its shape, as a vector of one."""
    if isinstance(value, Tensor):
        return value.reshape(1) if value.dim() == 0 else value
    return value or (1,)


def _renamed(name: str, rows: Iterable[tuple[str, str]]) -> str | None:
    found = (_filled(name, source, target) for source, target in rows)
    return next((each for each in found if each is not None), None)


def _filled(name: str, source: str, target: str) -> str | None:
    """`target` with what `source`'s wildcards stand for in `name`; None where it does not fit."""
    if not name.startswith(source.partition("*")[0]):
        return None  # most rows: a pattern costs ten times as much
    match = _pattern(source).fullmatch(name)
    if match is None:
        return None
    parts = iter(match.groups())
    return re.sub(r"\*+", lambda _: next(parts), target)


@lru_cache(maxsize=256)
def _pattern(source: str) -> re.Pattern[str]:
    escaped = re.escape(source).replace(r"\*\*", "(.+)").replace(r"\*", r"([^.]+)")
    return re.compile(escaped)


def _in_base_layer(name: str) -> str:
    layer, _, last = name.rpartition(".")
    return f"{layer}.base_layer.{last}"
