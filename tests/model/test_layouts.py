import pytest
import torch

from model.errors import WeightsError
from model.layouts import COPIES, Layout, from_reference, layout_of
from model.presets import PRESETS
from model.video_chat import VideoChat
from model.video_text import VideoTextPretraining

LORA = "llama_model.base_model.model.model.layers.0.self_attn.q_proj"
OUR_LORA = "language_model.model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "tiny"])
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_every_name_of_ours_has_one_of_the_original_and_back(preset, stage):
    config = PRESETS[preset]
    with torch.device("meta"):
        model = VideoTextPretraining(config) if stage == 1 else VideoChat(config, stage=stage)
    names = [name for name in model.state_dict() if ".base_layer." not in name]
    layout = Layout(reference=True, language_model="mistral", wrapped=stage == 3)

    theirs = [layout.theirs(name) for name in names]

    assert set(theirs).isdisjoint(names)
    assert [layout.ours(name) for name in theirs] == names


@pytest.mark.parametrize("family", ["mistral", "llama", "phi"])
def test_projector_and_language_model_go_by_the_name_of_any_language_model(family):
    shapes = {f"{family}_proj.weight": (3, 2), f"{family}_model.model.norm.weight": (3,)}

    assert from_reference(shapes) == {
        "projector.linear.weight": (3, 2),
        "language_model.model.norm.weight": (3,),
    }


def test_weight_beside_an_adapter_lies_in_the_base_layer():
    shapes = {
        f"{LORA}.weight": (4, 4),
        f"{LORA}.lora_A.default.weight": (2, 4),
        f"{LORA}.lora_B.default.weight": (4, 2),
        "llama_model.base_model.model.lm_head.weight": (9, 4),
    }

    assert from_reference(shapes) == {
        f"{OUR_LORA}.base_layer.weight": (4, 4),
        f"{OUR_LORA}.lora_A.default.weight": (2, 4),
        f"{OUR_LORA}.lora_B.default.weight": (4, 2),
        "language_model.lm_head.weight": (9, 4),
    }
    layout = layout_of(shapes)
    assert layout.theirs(f"{OUR_LORA}.base_layer.weight") == f"{LORA}.weight"


def test_buffers_and_second_copies_are_left_out():
    spare = {
        "qformer.bert.embeddings.position_ids": (1, 512),
        "llama_model.model.layers.3.self_attn.rotary_emb.inv_freq": (64,),
        **dict.fromkeys(COPIES, (9,)),
    }

    assert from_reference({"vision_layernorm.bias": (4,), **spare}) == {"visual_norm.bias": (4,)}


def test_temperature_becomes_a_vector_of_one():
    renamed = from_reference({"temp": torch.tensor(0.07)})

    assert renamed["temperature"].tolist() == pytest.approx([0.07])
    assert from_reference({"temp": ()}) == {"temperature": (1,)}


def test_name_that_the_original_does_not_have_is_refused():
    with pytest.raises(WeightsError, match=r"qformer\.bert\.pooler\.dense\.weight: not a name"):
        from_reference({"qformer.bert.pooler.dense.weight": (4, 4), "query_tokens": (1, 2, 4)})


def test_layout_is_recognised_in_spite_of_a_strange_key():
    theirs = {"query_tokens", "vision_layernorm.bias", "vision_layernorm.weight", "visual_norm.x"}
    ours = {"qformer.query_tokens", "visual_norm.bias", "visual_norm.weight", "vision_x"}

    assert layout_of(theirs).reference
    assert not layout_of(ours).reference
