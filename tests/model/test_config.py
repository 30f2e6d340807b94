from dataclasses import replace

import pytest

from model.config import LanguageModelConfig, ModelConfig, VideoEncoderConfig
from model.errors import ConfigError
from model.presets import PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_config_survives_to_dict_and_back(name):
    assert ModelConfig.from_dict(PRESETS[name].to_dict()) == PRESETS[name]


def test_preset_is_changed_where_the_dictionary_says(tiny):
    changed = ModelConfig.from_dict({"preset": "tiny", "qformer": {"num_queries": 4}})

    assert changed == replace(tiny, qformer=replace(tiny.qformer, num_queries=4))


def test_lists_become_tuples():
    config = ModelConfig.from_dict({"preset": "tiny", "lora": {"targets": ["q_proj"]}})

    assert config.lora is not None
    assert config.lora.targets == ("q_proj",)


def test_lora_can_be_none():
    assert ModelConfig.from_dict({"preset": "tiny", "lora": None}).lora is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"qformer": {"widht": 3}}, "model.qformer: unknown field 'widht'; did you mean 'width'?"),
        ({"zzz": 3}, "model: unknown field 'zzz'; known: language_model, video_encoder"),
        ({"qformer": {"width": "3"}}, "model.qformer.width: expected int, got '3'"),
        ({"qformer": {"width": True}}, "model.qformer.width: expected int, got True"),
        ({"qformer": 3}, "model.qformer: expected a mapping of fields, got 3"),
        (
            {"pretraining": {"gathered_gradient": "half"}},
            "pretraining.gathered_gradient: no 'half'",
        ),
        ({"preset": "tinny"}, "model.preset: no 'tinny'; known: videochat2_mistral"),
        ({"qformer": {"heads": 5}}, "qformer.heads: 5 does not divide width 128"),
        ({"video_encoder": {"blocks_built": 9}}, "blocks_built: 9 is not in 1..4"),
        ({"language_model": {"architecture": "gpt"}}, "'gpt' is unknown; known: mistral, llama"),
        ({"bos": "none"}, "bos: no 'none'; known: word, reference"),
        ({"template": "gpt"}, "template: no 'gpt'; known: mistral, vicuna, phi3"),
        ({"language_model": {"sizes": None}}, "give path, or architecture and sizes"),
    ],
)
def test_wrong_field_is_named(change, message):
    with pytest.raises(ConfigError) as error:
        ModelConfig.from_dict({"preset": "tiny", **change})

    assert message in str(error.value)


def test_missing_field_is_named():
    with pytest.raises(ConfigError) as error:
        ModelConfig.from_dict({})

    assert str(error.value) == "model: missing field language_model"


def test_whole_number_is_taken_where_a_fraction_is_meant():
    config = ModelConfig.from_dict({"preset": "tiny", "video_encoder": {"mlp_ratio": 2}})

    assert config.video_encoder.mlp_ratio == 2.0


def test_grid_counts_patches():
    assert VideoEncoderConfig().grid == 14


def test_path_alone_is_a_language_model():
    assert LanguageModelConfig(path="weights/lm").architecture is None
