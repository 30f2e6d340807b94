import pytest
import torch

from model.errors import FreezeError
from model.freezing import trainable_parameters
from model.video_chat import VideoChat


def parts(names):
    return {name.split(".")[0] for name in names}


def step(model, batch):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model(batch)["loss"].backward()
        optimizer.step()
    return {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}


def test_stage_2_trains_all_but_the_language_model(tiny, make_batch):
    model = VideoChat(tiny, stage=2)

    changed = step(model, make_batch())

    assert parts(changed) == {"video_encoder", "visual_norm", "qformer", "projector"}
    assert changed == set(trainable_parameters(model))


def test_stage_3_trains_in_the_language_model_only_its_adapters(tiny, make_batch):
    model = VideoChat(tiny, stage=3)

    changed = step(model, make_batch(instruction=True))

    inside = {name for name in changed if name.startswith("language_model.")}
    assert all("lora_" in name for name in inside)
    assert len(inside) == 2 * (4 * 7 + 1)
    # Nothing reads the text after the last layer: its gradient is zero there.
    still = set(trainable_parameters(model)) - changed
    assert still
    assert all(name.startswith("qformer.layers.1.text_ffn.") for name in still)


def test_named_part_is_frozen_too(tiny, make_batch):
    model = VideoChat(tiny, stage=2, freeze=["video_encoder"])

    assert parts(step(model, make_batch())) == {"visual_norm", "qformer", "projector"}


def test_frozen_part_stays_in_eval_mode_when_the_whole_trains(tiny):
    model = VideoChat(tiny, stage=2, freeze=["qformer.layers.0"]).train()

    assert model.qformer.training
    assert not any(module.training for module in model.qformer.layers[0].modules())
    assert not any(module.training for module in model.language_model.modules())


def test_adapter_dropout_follows_the_whole(tiny):
    model = VideoChat(tiny, stage=3).train()
    layer = model.language_model.lm_head

    assert layer.lora_dropout["default"].training
    assert not layer.base_layer.training
    assert not model.eval().language_model.lm_head.lora_dropout["default"].training


def test_freezing_keeps_eval_mode(stage2):
    assert not stage2.training
    assert stage2.frozen == ("language_model",)


def test_unknown_part_names_the_known_ones(stage2):
    with pytest.raises(FreezeError) as error:
        stage2.freeze("vision_encoder")

    assert str(error.value) == (
        "freeze: no part 'vision_encoder'; known: "
        "video_encoder, visual_norm, qformer, language_model, projector"
    )
