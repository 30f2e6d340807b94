"""How many floating-point operations training on a micro-batch takes, from its shapes alone.

Counted are the multiplications and additions of matrix products (two a pair): forward, the
gradient of each weight that is trained, and the gradient of each input behind which something
is trained. A frozen part thus costs once where nothing before it is trained, and twice where
gradients pass through it. Not counted: what recomputation repeats, norms, activations, the
optimizer; a causal mask saves nothing (as in arXiv 2204.02311, appendix B). Padding counts, since
it is computed. Of stage 1's contrastive loss this rank's own pairs count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from torch import nn

from model.batch import ChatBatch
from model.config import QFormerConfig, VideoEncoderConfig
from model.freezing import ADAPTER
from model.qformer import QFormer
from model.video_chat import VideoChat
from model.video_encoder import VideoEncoder
from model.video_text import VideoTextPretraining

MODELS = (VideoChat, VideoTextPretraining)
"""The models whose operations are known."""


class TrainingFlops:
    """Counts what forward and backward pass of one micro-batch take.

    Args:
        module: The model of a stage; which of its parts are trained is read here, once.

    Raises:
        TypeError: It is no model whose operations are known.
    """

    def __init__(self, module: nn.Module) -> None:
        if not isinstance(module, MODELS):
            raise TypeError(f"the operations of {type(module).__name__} are not known")
        self._encoder = _Encoder.of(module.video_encoder)
        self._qformer = _QFormer.of(module.qformer, self._encoder.cfg.width)
        # What lies between encoder and QFormer is trained in all stages, so gradients reach it.
        self._visual = self._encoder.trained or _is_trained(module.visual_norm)
        self._embed = module.cfg.pretraining.embed_width
        self._frames = module.cfg.pretraining.frames
        self._chat = _LanguageModel.of(module) if isinstance(module, VideoChat) else None

    def __call__(self, arguments: Mapping[str, Any]) -> int:
        """Gives the floating-point operations of a micro-batch.

        Args:
            arguments: Of the module's forward pass; only shapes are looked at.
        """
        if self._chat is not None:
            return self._conversations(self._chat, arguments["batch"])
        shape = arguments["video_BTCHW"].shape
        # Behind the encoder a picture stands under each frame's embedding.
        visual = self._frames * self._encoder.patches(shape)
        text = arguments["text_ids_BL"].shape[1]
        return self._encoder.flops(shape) + self._pairs(shape[0], visual, text)

    def _conversations(self, language_model: "_LanguageModel", batch: ChatBatch) -> int:
        total, gradient = 0, False
        if batch.video is not None:
            shape = batch.video.shape
            visual = shape[1] * self._encoder.patches(shape)
            text = 0 if batch.instruction_ids is None else batch.instruction_ids.shape[1]
            read = self._qformer.read(visual, text, visual_gradient=self._visual)
            tokens = shape[0] * self._qformer.queries
            total += self._encoder.flops(shape) + shape[0] * read.flops
            total += language_model.projector.flops(tokens, into=read.gradient)
            gradient = read.gradient or language_model.projector.trained
        labels = 0 if batch.labels is None else len(batch.places.before_labels)
        return total + language_model.flops(*batch.ids.shape, labels=labels, gradient=gradient)

    def _pairs(self, pairs: int, visual: int, text: int) -> int:
        """The passes of stage 1 behind the encoder, and its heads (trained in every recipe)."""
        qformer, embed = self._qformer, self._embed
        width, queries = qformer.cfg.width, qformer.queries
        alone = qformer.read(visual, 0, visual_gradient=self._visual)
        words = qformer.read(0, text, visual_gradient=False)
        mixed = qformer.read(visual, text, visual_gradient=self._visual)
        caption = qformer.caption(text, alone)
        projections = _Linear(width, embed, trained=True)
        total = pairs * (alone.flops + words.flops + 3 * mixed.flops + caption)
        total += projections.flops(pairs * queries, into=alone.gradient)
        total += projections.flops(pairs, into=words.gradient)
        # The similarities of all pairs, once with gradients and once to draw negatives.
        total += (3 + 1) * 2 * pairs * pairs * queries * embed
        return total + _Linear(2 * width, 2, trained=True).flops(3 * pairs, into=mixed.gradient)


@dataclass(frozen=True)
class _Linear:
    """A linear layer, or several of one input side by side; with `rank` an adapter beside it."""

    width_in: int
    width_out: int
    trained: bool
    rank: int = 0

    @property
    def learns(self) -> bool:
        """Whether its output has a gradient whatever its input is."""
        return self.trained or self.rank > 0

    def flops(self, tokens: int, *, into: bool) -> int:
        """Both passes; `into`: the gradient of the input is asked for."""
        own = 2 * tokens * self.width_in * self.width_out * (1 + into + self.trained)
        down = 2 * tokens * self.width_in * self.rank * (2 + into)
        return own + down + 2 * tokens * self.rank * self.width_out * 3


def _attention(asking: int, seen: int, width: int, gradients: tuple[bool, bool, bool]) -> int:
    """Scores and their weighted sum for one sample; `gradients`: of query, key and value."""
    query, key, value = gradients
    return 2 * asking * seen * width * (2 + query + key + (query or key) + value)


def _is_trained(part: nn.Module) -> bool:
    """Whether something of a part is trained, adapters apart."""
    named = part.named_parameters()
    return any(each.requires_grad for name, each in named if ADAPTER not in name)


@dataclass(frozen=True)
class _Encoder:
    cfg: VideoEncoderConfig
    trained: bool

    @classmethod
    def of(cls, encoder: VideoEncoder) -> "_Encoder":
        return cls(encoder.cfg, _is_trained(encoder))

    def patches(self, shape: Sequence[int]) -> int:
        """Of one frame; `shape` is (clips, frames, colours, height, width)."""
        return (shape[3] // self.cfg.patch_size) * (shape[4] // self.cfg.patch_size)

    def flops(self, shape: Sequence[int]) -> int:
        clips, tokens = shape[0], shape[1] * self.patches(shape)
        width, trained = self.cfg.width, self.trained
        hidden = int(width * self.cfg.mlp_ratio)
        embed = _Linear(3 * self.cfg.patch_size**2, width, trained).flops(tokens, into=False)
        linear = _Linear(width, 4 * width + 2 * hidden, trained).flops(tokens, into=trained)
        block = linear + _attention(tokens, tokens, width, (trained, trained, trained))
        return clips * (embed + self.cfg.blocks_built * block)


class _Read(NamedTuple):
    """A pass of one sample through the QFormer; which layers' keys have a gradient."""

    flops: int
    gradient: bool
    key_gradients: tuple[bool, ...] = ()


@dataclass(frozen=True)
class _QFormer:
    cfg: QFormerConfig
    queries: int
    visual_width: int
    trained: bool

    @classmethod
    def of(cls, qformer: QFormer, visual_width: int) -> "_QFormer":
        cfg = qformer.cfg
        extra = 0 if qformer.extra_query_tokens is None else cfg.num_extra_queries
        return cls(cfg, cfg.num_queries + extra, visual_width, _is_trained(qformer))

    def read(self, visual: int, text: int, *, visual_gradient: bool) -> _Read:
        """Queries on `visual` tokens (without any there are no queries) and `text` beside them."""
        queries = self.queries if visual else 0
        total, gradient, keys = 0, self.trained, []
        for index in range(self.cfg.layers):
            own = gradient or self.trained
            keys.append(own)
            total += self._self_attention(queries + text, queries + text, gradient, past=own)
            gradient = own
            if queries and index % self.cfg.cross_attention_every == 0:
                total += self._cross_attention(queries, visual, gradient, visual_gradient)
                total += self._ffn(text, gradient)
                gradient = gradient or visual_gradient
                total += self._ffn(queries, gradient)
            else:
                total += self._ffn(queries + text, gradient)
        return _Read(total, gradient, tuple(keys))

    def caption(self, text: int, read: _Read) -> int:
        """Predicting each word of a caption from the queries' keys and values of `read`."""
        width, trained = self.cfg.width, self.trained
        total, gradient = 0, trained
        for past in read.key_gradients:
            seen = self.queries + text
            total += self._self_attention(text, seen, gradient, past=past)
            gradient = gradient or past or trained
            total += self._ffn(text, gradient)
        dense = _Linear(width, width, trained).flops(text, into=gradient)
        words = _Linear(width, self.cfg.vocab_size, trained).flops(text, into=gradient or trained)
        return total + dense + words

    def _self_attention(self, asking: int, seen: int, gradient: bool, *, past: bool) -> int:  # noqa: FBT001
        width, own = self.cfg.width, gradient or self.trained
        linear = _Linear(width, 3 * width, self.trained).flops(asking, into=gradient)
        output = _Linear(width, width, self.trained).flops(asking, into=own or past)
        keys = own or past
        return linear + output + _attention(asking, seen, width, (own, keys, keys))

    def _cross_attention(self, queries: int, visual: int, own: bool, seen: bool) -> int:  # noqa: FBT001
        width, trained = self.cfg.width, self.trained
        linear = _Linear(width, width, trained).flops(queries, into=own)
        keys = _Linear(self.visual_width, 2 * width, trained).flops(visual, into=seen)
        output = _Linear(width, width, trained).flops(queries, into=own or seen or trained)
        gradients = (own or trained, seen or trained, seen or trained)
        return linear + keys + output + _attention(queries, visual, width, gradients)

    def _ffn(self, tokens: int, gradient: bool) -> int:  # noqa: FBT001
        width, hidden, trained = self.cfg.width, self.cfg.ffn_width, self.trained
        first = _Linear(width, hidden, trained).flops(tokens, into=gradient)
        return first + _Linear(hidden, width, trained).flops(tokens, into=gradient or trained)


@dataclass(frozen=True)
class _LanguageModel:
    """The decoder's layers are alike: one is looked at.

    Attributes:
        asking: Layers from a token to its query, key and value: three, or one for all.
        widened: From a token to the feed-forward part: two, or one for both.
    """

    layers: int
    attended: int
    asking: tuple[_Linear, ...]
    output: _Linear
    widened: tuple[_Linear, ...]
    narrowed: _Linear
    head: _Linear
    projector: _Linear

    @classmethod
    def of(cls, module: VideoChat) -> "_LanguageModel":
        language_model = cast(Any, module.language_model)
        config, layers = language_model.config, language_model.base_model.layers
        attention, mlp = _linears(layers[0].self_attn), _linears(layers[0].mlp)
        head_width = getattr(config, "head_dim", None)
        head_width = head_width or config.hidden_size // config.num_attention_heads
        (projector,) = _linears(module.projector).values()
        return cls(
            len(layers),
            config.num_attention_heads * head_width,
            tuple(each for name, each in attention.items() if name != "o_proj"),
            attention["o_proj"],
            tuple(each for name, each in mlp.items() if name != "down_proj"),
            mlp["down_proj"],
            _linear(language_model.get_output_embeddings()),
            projector,
        )

    def flops(self, sequences: int, length: int, *, labels: int, gradient: bool) -> int:
        """Both passes; `gradient`: of the embedded sequences, as a trained part made clips."""
        first, gradient = self._layer(length, gradient=gradient)
        later, gradient = self._layer(length, gradient=gradient)
        total = sequences * (first + (self.layers - 1) * later)
        return total + self.head.flops(labels, into=gradient)

    def _layer(self, length: int, *, gradient: bool) -> tuple[int, bool]:
        total = sum(each.flops(length, into=gradient) for each in self.asking)
        learnt = [gradient or each.learns for each in self.asking]
        query, key, value = learnt if len(learnt) == 3 else 3 * learnt
        total += _attention(length, length, self.attended, (query, key, value))
        attended = any(learnt)
        total += self.output.flops(length, into=attended)
        gradient = attended or self.output.learns
        total += sum(each.flops(length, into=gradient) for each in self.widened)
        inner = gradient or any(each.learns for each in self.widened)
        total += self.narrowed.flops(length, into=inner)
        return total, inner or self.narrowed.learns


def _linears(part: nn.Module) -> dict[str, _Linear]:
    """The linear layers of a part by name, in order."""
    return {
        name: _linear(each)
        for name, each in part.named_children()
        if isinstance(each, nn.Linear) or hasattr(each, "base_layer")
    }


def _linear(layer: nn.Module) -> _Linear:
    base = cast(nn.Linear, getattr(layer, "base_layer", layer))
    adapters = cast(Mapping[str, nn.Linear], getattr(layer, "lora_A", {}))
    rank = sum(each.out_features for each in adapters.values())
    return _Linear(base.in_features, base.out_features, base.weight.requires_grad, rank)
