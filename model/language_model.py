"""The causal language model from transformers, and its adapters from peft."""

import warnings
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig as PeftLoraConfig
from peft import inject_adapter_in_model
from torch.utils.checkpoint import checkpoint
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PretrainedConfig,
    PreTrainedModel,
)

from model.attention import register
from model.config import LanguageModelConfig, LanguageModelSizes, LoraConfig
from model.errors import ConfigError, WeightsError

CONFIG_CLASSES: dict[str, type[Any]] = {
    "mistral": MistralConfig,
    "llama": LlamaConfig,
    "phi3": Phi3Config,
}


def build_language_model(
    cfg: LanguageModelConfig, *, dtype: torch.dtype = torch.float32
) -> PreTrainedModel:
    """Load a language model from its folder, or build one of given sizes.

    Args:
        cfg: With `path` the weights are loaded, else they are random. Under
            `torch.device("meta")` nothing takes memory, and of a folder only the
            configuration is read.
        dtype: Type of the weights.

    Raises:
        ConfigError: The folder holds no model.
        WeightsError: The folder's weights are not those of the architecture.
    """
    language_model = _bare(cfg, dtype)
    if cfg.recompute:
        _recompute_layers(language_model)
    return language_model


def add_lora(language_model: PreTrainedModel, cfg: LoraConfig) -> None:
    """Put an adapter beside each target layer, in place.

    Raises:
        ConfigError: A target names no layer.
    """
    layers = {name.rpartition(".")[2] for name, _ in language_model.named_modules()}
    for target in cfg.targets:
        if target not in layers:
            raise ConfigError(
                f"lora.targets: {type(language_model).__name__} has no layer {target!r}"
            )
    peft_config = PeftLoraConfig(
        r=cfg.rank,
        lora_alpha=cfg.alpha,
        lora_dropout=cfg.dropout,
        target_modules=list(cfg.targets),
        bias="none",
    )
    with warnings.catch_warnings():
        # An adapter beside a tied lm_head troubles those who merge it; nobody does here.
        warnings.filterwarnings("ignore", message="Model has `tie_word_embeddings=True`")
        inject_adapter_in_model(peft_config, language_model)


def _bare(cfg: LanguageModelConfig, dtype: torch.dtype) -> PreTrainedModel:
    if cfg.path is not None:
        return _load(Path(cfg.path), cfg.architecture, dtype)
    if cfg.architecture is None or cfg.sizes is None:
        raise ConfigError("language_model: give path, or architecture and sizes")
    config = _config(cfg.architecture, cfg.sizes)
    return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=register())


def _recompute_layers(language_model: PreTrainedModel) -> None:
    """Not by transformers' own switch: in eval mode, where a frozen model is, it does nothing."""
    for layer in cast(Any, language_model.base_model).layers:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)


def _config(architecture: str, sizes: LanguageModelSizes) -> PretrainedConfig:
    return CONFIG_CLASSES[architecture](
        vocab_size=sizes.vocab_size,
        hidden_size=sizes.width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.kv_heads,
        intermediate_size=sizes.ffn_width,
        max_position_embeddings=sizes.max_positions,
        rope_parameters={"rope_type": "default", "rope_theta": sizes.rope_theta},
        rms_norm_eps=sizes.norm_eps,
        initializer_range=sizes.init_std,
        sliding_window=None,
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=None,
    )


def _load(folder: Path, architecture: str | None, dtype: torch.dtype) -> PreTrainedModel:
    if not (folder / "config.json").is_file():
        raise ConfigError(f"language_model.path: no config.json in {folder}")
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if architecture is not None:
        config = _as_architecture(config, CONFIG_CLASSES[architecture])
    if getattr(config, "sliding_window", None):  # not in training: it would hold in answers alone
        config.sliding_window = None
    if torch.get_default_device().type == "meta":
        return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=register())
    language_model, report = AutoModelForCausalLM.from_pretrained(
        folder,
        config=config,
        dtype=dtype,
        attn_implementation=register(),
        local_files_only=True,
        output_loading_info=True,
    )
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[kind]:
            names = sorted(str(name) for name in report[kind])
            raise WeightsError(f"{folder}: {len(names)} {kind}: {', '.join(names[:10])}")
    return language_model


def _as_architecture(config: PretrainedConfig, wanted: type[Any]) -> PretrainedConfig:
    """Llama and Mistral name and shape their weights alike; only the config differs."""
    if isinstance(config, wanted):
        return config
    values = config.to_dict()
    for name in ("model_type", "architectures", "transformers_version"):
        values.pop(name, None)
    return wanted(**{**values, "sliding_window": None})
