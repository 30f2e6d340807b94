"""From a specification to the model's configuration, its weights and its tokenizers."""

import json
from pathlib import Path
from typing import Any

from tokenizers import normalizers
from transformers import AutoTokenizer, LlamaTokenizer, PreTrainedTokenizerFast

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
    folder = _folder(wanted.tokenizer or wanted.language_model, "model.language_model")
    if (folder / "tokenizer.json").is_file():
        # Not AutoTokenizer: of a Llama's file it takes the words and leaves how text is split.
        return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    if (folder / "tokenizer.model").is_file():
        return _sentencepiece_tokenizer(folder)
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def qformer_tokenizer(wanted: Model) -> Any:  # noqa: ANN401 - transformers is untyped
    """The QFormer's tokenizer with the token that begins a caption, from disk only."""
    given = wanted.qformer_tokenizer or wanted.tokenizer or wanted.language_model
    folder = _folder(given, "model.qformer_tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if DECODER_START not in tokenizer.get_vocab():
        tokenizer.add_special_tokens({"bos_token": DECODER_START})
    return tokenizer


def _sentencepiece_tokenizer(folder: Path) -> Any:  # noqa: ANN401
    """A Llama's `tokenizer.model` as the original reads it.

    Each text, and what follows a special token, begins with a word's mark; transformers' own
    newer form, which a folder may ask for by `legacy: false`, leaves out the second one where
    there is a space.
    """
    tokenizer = LlamaTokenizer.from_pretrained(folder, local_files_only=True)
    config = folder / "tokenizer_config.json"
    # The tokenizer itself does not tell "false" from nothing said, which meant "true".
    if not config.is_file() or json.loads(config.read_text(encoding="utf-8")).get("legacy", True):
        marks = [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
        tokenizer.backend_tokenizer.normalizer = normalizers.Sequence(marks)
        tokenizer.backend_tokenizer.pre_tokenizer = None
    return tokenizer


def _folder(folder: Path | None, key: str) -> Path:
    if folder is None or not folder.is_dir():
        raise FileNotFoundError(f"{key}: no folder {folder} with a tokenizer")
    return folder
