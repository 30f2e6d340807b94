"""The configurations that have names: VideoChat2's three, and a tiny one for a laptop."""

from dataclasses import replace

from model.config import (
    LanguageModelConfig,
    LanguageModelSizes,
    LoraConfig,
    ModelConfig,
    PretrainingConfig,
    QFormerConfig,
    VideoEncoderConfig,
)

_MISTRAL = ModelConfig(
    LanguageModelConfig(architecture="mistral", sizes=LanguageModelSizes()),
)

_VICUNA = replace(
    _MISTRAL,
    template="vicuna",
    language_model=LanguageModelConfig(
        architecture="llama",
        sizes=LanguageModelSizes(
            vocab_size=32001,
            kv_heads=32,
            ffn_width=11008,
            max_positions=2048,
            rope_theta=1e4,
            norm_eps=1e-6,
        ),
    ),
    lora=LoraConfig(targets=("q_proj", "v_proj")),
)

# Phi-3 keeps q, k, v and gate, up in fused layers: one adapter each.
_PHI3 = replace(
    _MISTRAL,
    template="phi3",
    language_model=LanguageModelConfig(
        architecture="phi3",
        sizes=LanguageModelSizes(
            *(32064, 3072, 32, 32, 32, 8192, 4096),
            rope_theta=1e4,
        ),
    ),
    lora=LoraConfig(targets=("qkv_proj", "o_proj", "gate_up_proj", "down_proj", "lm_head")),
)

_TINY = ModelConfig(
    LanguageModelConfig(
        architecture="mistral",
        sizes=LanguageModelSizes(200, 128, 4, 4, 2, 384, 512, rope_theta=1e4, init_std=0.06),
    ),
    video_encoder=VideoEncoderConfig(
        image_size=32, patch_size=8, width=128, depth=4, blocks_built=4, heads=4, position_grid=4
    ),
    qformer=QFormerConfig(
        num_queries=8,
        num_extra_queries=8,
        width=128,
        layers=2,
        heads=4,
        ffn_width=512,
        cross_attention_every=1,
        drop_path=0.0,
        vocab_size=200,
        max_positions=64,
        decoder_start_id=6,
        init_std=0.05,
    ),
    pretraining=PretrainingConfig(embed_width=128),
    lora=LoraConfig(rank=8, alpha=16.0),
)

PRESETS: dict[str, ModelConfig] = {
    "videochat2_mistral": _MISTRAL,
    "videochat2_vicuna": _VICUNA,
    "videochat2_phi3": _PHI3,
    "tiny": _TINY,
}
