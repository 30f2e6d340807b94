"""From a specification to the model's configuration, its weights and its tokenizers."""

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from jobs.contract.spec import Model
from model.config import ModelConfig

DECODER_START = "[DEC]"
"""First token of a caption that the QFormer is to write; bert-base-uncased lacks it."""


def model_config(wanted: Model, *, recompute: bool = False) -> ModelConfig:
    """The model's configuration; raises ConfigError where it does not fit together."""
    changes = dict(wanted.overrides)
    if wanted.language_model is not None:
        folder = {"path": str(wanted.language_model)}
        changes["language_model"] = dict(changes.get("language_model", {})) | folder
    config = ModelConfig.from_dict({"preset": wanted.preset, **changes})
    return config.recomputing() if recompute else config


def chat_tokenizer(wanted: Model) -> Any:  # noqa: ANN401 - transformers is untyped
    """The language model's tokenizer, from disk only."""
    return _load(wanted.tokenizer or wanted.language_model, "model.language_model")


def qformer_tokenizer(wanted: Model) -> Any:  # noqa: ANN401 - transformers is untyped
    """The QFormer's tokenizer with the token that begins a caption, from disk only."""
    folder = wanted.qformer_tokenizer or wanted.tokenizer or wanted.language_model
    tokenizer = _load(folder, "model.qformer_tokenizer")
    if DECODER_START not in tokenizer.get_vocab():
        tokenizer.add_special_tokens({"bos_token": DECODER_START})
    return tokenizer


def _load(folder: Path | None, key: str) -> Any:  # noqa: ANN401
    if folder is None or not folder.is_dir():
        raise FileNotFoundError(f"{key}: no folder {folder} with a tokenizer")
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)
