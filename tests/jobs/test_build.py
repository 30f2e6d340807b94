"""From a specification to the model's configuration and its tokenizers."""

import json
import shutil
from pathlib import Path

import pytest

from jobs.build import chat_tokenizer, model_config
from jobs.contract.spec import Model

VECTORS = Path(__file__).parents[1] / "parity/vectors"


@pytest.mark.parametrize("recompute", [False, True])
def test_recompute_reaches_the_video_encoder_and_the_language_model(recompute):
    config = model_config(Model(preset="tiny"), recompute=recompute)

    assert config.video_encoder.recompute is recompute
    assert config.language_model.recompute is recompute


def pieces(folder):
    """How a language model's tokenizer splits what follows the end of an answer."""
    tokenizer = chat_tokenizer(Model(preset="tiny", language_model=folder))
    return tokenizer.tokenize("a </s> [INST] dog", add_special_tokens=False)


AS_THE_REFERENCE = ["▁a", "▁", "</s>", "▁", "▁[", "INST", "]", "▁dog"]


def test_sentencepiece_model_is_read_as_the_reference_reads_it(tmp_path):
    shutil.copy(VECTORS / "spm_tiny.model", tmp_path / "tokenizer.model")

    assert pieces(tmp_path) == AS_THE_REFERENCE


@pytest.mark.parametrize("model_type", ["mistral", "llama"])
def test_tokenizer_file_of_a_llama_keeps_how_it_splits(tmp_path, model_type):
    shutil.copy(VECTORS / "spm_tiny.model", tmp_path / "tokenizer.model")
    chat_tokenizer(Model(preset="tiny", tokenizer=tmp_path)).save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>"})
    )
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))

    assert pieces(tmp_path) == AS_THE_REFERENCE


def test_newer_sentencepiece_form_stays_where_the_folder_asks_for_it(tmp_path):
    shutil.copy(VECTORS / "spm_tiny.model", tmp_path / "tokenizer.model")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"legacy": False}))

    assert pieces(tmp_path) == ["▁a", "▁", "</s>", "▁[", "INST", "]", "▁dog"]


def test_folder_without_tokenizer_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.language_model: no folder .*nowhere"):
        chat_tokenizer(Model(preset="tiny", language_model=tmp_path / "nowhere"))
