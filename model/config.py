"""All sizes of the model, as data.

Notable: three stages share one `ModelConfig`; which parts a stage builds and trains
stands in `model.stages`. The true sizes are those of VideoChat2 (arXiv 2311.17005).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from model.config_parsing import build, merge
from model.errors import ConfigError
from model.templates import TEMPLATES

ARCHITECTURES = ("mistral", "llama", "phi3")
BOS_FORMS = ("word", "reference")
GATHERED_GRADIENTS = ("whole", "reference")


@dataclass(frozen=True)
class VideoEncoderConfig:
    """The vision transformer (UMT-L/16 by default)."""

    image_size: int = 224
    """Height and width of a frame, in pixels."""
    patch_size: int = 16
    """Height and width of a patch, in pixels."""
    width: int = 1024
    """Channels of a token."""
    depth: int = 24
    """Blocks the weights were trained with; the drop path rates are spread over these."""
    blocks_built: int = 23
    """Blocks that exist here: the output of this block is the result."""
    heads: int = 16
    """Attention heads."""
    mlp_ratio: float = 4.0
    """Width of the feed-forward part as a multiple of `width`."""
    position_frames: int = 4
    """Frames of the position table before it is interpolated in time."""
    position_grid: int = 14
    """Patches a side of the position table before it is interpolated in space."""
    drop_path: float = 0.0
    """Largest probability of skipping a residual branch, 0 to 1."""
    recompute: bool = False
    """Recompute activations in the backward pass instead of keeping them."""

    def __post_init__(self) -> None:
        _divides("video_encoder.heads", self.heads, "width", self.width)
        _divides("video_encoder.patch_size", self.patch_size, "image_size", self.image_size)
        if not 0 < self.blocks_built <= self.depth:
            raise ConfigError(
                f"video_encoder.blocks_built: {self.blocks_built} is not in 1..{self.depth} (depth)"
            )

    @property
    def grid(self) -> int:
        """Patches a side of one frame."""
        return self.image_size // self.patch_size


@dataclass(frozen=True)
class QFormerConfig:
    """The QFormer (BERT-base with cross-attention by default)."""

    num_queries: int = 32
    """Query tokens, trained from stage 1 on."""
    num_extra_queries: int = 64
    """Query tokens added in stages 2 and 3."""
    width: int = 768
    """Channels of a token."""
    layers: int = 12
    """Transformer layers."""
    heads: int = 12
    """Attention heads."""
    ffn_width: int = 3072
    """Width of the feed-forward parts."""
    cross_attention_every: int = 2
    """Layers 0, n, 2n, ... look at the video."""
    dropout: float = 0.1
    """Dropout of attention weights and of each sublayer's output, 0 to 1."""
    drop_path: float = 0.2
    """Probability of skipping a sublayer in the last layer; grows linearly from 0."""
    vocab_size: int = 30523
    """Rows of the word embedding (bert-base-uncased and [DEC])."""
    max_positions: int = 512
    """Longest text, in tokens."""
    decoder_start_id: int = 30522
    """Id of [DEC], the first token of a caption to be predicted."""
    pad_id: int = 0
    """Id of padding."""
    init_std: float = 0.02
    """Spread of the first weights; narrow models need more."""

    def __post_init__(self) -> None:
        _divides("qformer.heads", self.heads, "width", self.width)
        if self.decoder_start_id >= self.vocab_size:
            raise ConfigError(
                f"qformer.decoder_start_id: {self.decoder_start_id} is not below "
                f"vocab_size {self.vocab_size}"
            )


@dataclass(frozen=True)
class PretrainingConfig:
    """What only stage 1 has."""

    frames: int = 4
    """Frames of a clip, each with a learned embedding."""
    embed_width: int = 768
    """Channels of the space in which videos and texts are compared."""
    temperature: float = 0.07
    """First temperature of the contrastive loss, kept in 0.001 to 0.5."""
    label_smoothing: float = 0.1
    """Label smoothing of the caption loss."""
    gathered_gradient: str = "whole"
    """Contrastive loss on several ranks. "whole": the gradient is that of one process with the
    whole batch. "reference": one part in world size of it behind the temperature, as the original
    trains."""

    def __post_init__(self) -> None:
        if self.gathered_gradient not in GATHERED_GRADIENTS:
            raise ConfigError(
                f"pretraining.gathered_gradient: no {self.gathered_gradient!r}; "
                f"known: {', '.join(GATHERED_GRADIENTS)}"
            )


@dataclass(frozen=True)
class LanguageModelSizes:
    """Sizes of a language model that is not loaded from a folder (Mistral-7B by default)."""

    vocab_size: int = 32000
    """Rows of the word embedding."""
    width: int = 4096
    """Channels of a token."""
    layers: int = 32
    """Decoder layers."""
    heads: int = 32
    """Attention heads."""
    kv_heads: int = 8
    """Heads of keys and values."""
    ffn_width: int = 14336
    """Width of the feed-forward part."""
    max_positions: int = 32768
    """Longest sequence, in tokens."""
    rope_theta: float = 1_000_000.0
    """Base of the rotary position embedding."""
    norm_eps: float = 1e-5
    """Epsilon of the RMS norms."""
    init_std: float = 0.02
    """Spread of the first weights; narrow models need more."""

    def __post_init__(self) -> None:
        _divides("language_model.sizes.heads", self.heads, "width", self.width)
        _divides("language_model.sizes.kv_heads", self.kv_heads, "heads", self.heads)


@dataclass(frozen=True)
class LanguageModelConfig:
    """The causal language model: a folder to load, or sizes to build."""

    path: str | None = None
    """Folder with config.json and safetensors, as transformers writes it."""
    architecture: str | None = None
    """mistral, llama or phi3; with `path` it forces the class, without it it is needed."""
    sizes: LanguageModelSizes | None = None
    """Sizes to build without weights (random, or on the meta device)."""
    recompute: bool = False
    """Recompute each layer's activations in the backward pass instead of keeping them."""

    def __post_init__(self) -> None:
        if self.architecture is not None and self.architecture not in ARCHITECTURES:
            raise ConfigError(
                f"language_model.architecture: {self.architecture!r} is unknown; "
                f"known: {', '.join(ARCHITECTURES)}"
            )
        if self.path is None and (self.architecture is None or self.sizes is None):
            raise ConfigError("language_model: give path, or architecture and sizes")


@dataclass(frozen=True)
class LoraConfig:
    """The low-rank adapters that stage 3 trains in the language model."""

    rank: int = 16
    """Rank of each adapter."""
    alpha: float = 32.0
    """Adapters are scaled by alpha / rank."""
    dropout: float = 0.1
    """Dropout before each adapter, 0 to 1."""
    targets: tuple[str, ...] = (
        *("q_proj", "k_proj", "v_proj", "o_proj"),
        *("gate_proj", "up_proj", "down_proj", "lm_head"),
    )
    """Names of the linear layers that get an adapter."""


@dataclass(frozen=True)
class ModelConfig:
    """The whole model."""

    language_model: LanguageModelConfig
    """The causal language model."""
    video_encoder: VideoEncoderConfig = field(default_factory=VideoEncoderConfig)
    """The vision transformer."""
    qformer: QFormerConfig = field(default_factory=QFormerConfig)
    """The QFormer between video and language model."""
    pretraining: PretrainingConfig = field(default_factory=PretrainingConfig)
    """Heads and losses of stage 1."""
    lora: LoraConfig | None = field(default_factory=LoraConfig)
    """Adapters of stage 3; None trains without."""
    template: str = "mistral"
    """How the language model's conversations look, a name of `model.templates`."""
    instruction_in_qformer: bool = True
    """Stage 3: the QFormer reads the instruction beside its queries."""
    caption_end_trained: bool = True
    """Stage 2: the loss counts the token that ends a caption. False: the original on Mistral, whose
    end token is its padding, too."""
    bos: str = "word"
    """Stage 3: how a sequence begins. "word": with BOS's embedding. "reference": with BOS's number
    in every channel, as the original trains; for weights that were trained with it."""

    def __post_init__(self) -> None:
        if self.bos not in BOS_FORMS:
            raise ConfigError(f"bos: no {self.bos!r}; known: {', '.join(BOS_FORMS)}")
        if self.template not in TEMPLATES:
            raise ConfigError(f"template: no {self.template!r}; known: {', '.join(TEMPLATES)}")

    @property
    def num_visual_tokens(self) -> int:
        """Tokens that a clip takes in the language model's sequence."""
        return self.qformer.num_queries + self.qformer.num_extra_queries

    def recomputing(self) -> "ModelConfig":
        """Give the same model, of which what is deep recomputes its activations."""
        return replace(
            self,
            video_encoder=replace(self.video_encoder, recompute=True),
            language_model=replace(self.language_model, recompute=True),
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "ModelConfig":
        """Build a configuration from plain values.

        Args:
            data: Values by field name. With `preset`, the named preset lies below them.

        Raises:
            ConfigError: A field is unknown, missing, of the wrong type or does not fit.
        """
        changes = {name: value for name, value in data.items() if name != "preset"}
        from model.presets import PRESETS  # noqa: PLC0415 - they are made of this module's types

        preset = data.get("preset")
        if preset is None:
            return build(cls, changes, "model")
        if preset not in PRESETS:
            raise ConfigError(f"model.preset: no {preset!r}; known: {', '.join(PRESETS)}")
        return build(cls, merge(PRESETS[preset].to_dict(), changes), "model")

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that `from_dict` turns back into this configuration."""
        return asdict(self)


def _divides(name: str, part: int, whole_name: str, whole: int) -> None:
    if part <= 0 or whole % part:
        raise ConfigError(f"{name}: {part} does not divide {whole_name} {whole}")
