import pytest
import torch
from safetensors.torch import load_file

from model.errors import WeightsError
from model.layouts import Layout
from model.stages import base_language_model_names, faults_of_start, initialise
from model.video_chat import VideoChat
from model.video_text import VideoTextPretraining
from model.weights import save_weights, write_tensors


def save(model, path, carried=None):
    """Write what a stage leaves behind: all but the base language model."""
    save_weights(model, path, exclude=base_language_model_names(model))
    write_tensors({**load_file(path), **(carried or {})}, path)
    return path


def differing(model, other):
    theirs = other.state_dict()
    return {
        name
        for name, value in model.state_dict().items()
        if name not in theirs or not torch.equal(value, theirs[name])
    }


def starting_with(model, *prefixes):
    return {name for name in model.state_dict() if name.startswith(prefixes)}


def as_the_original(path, *, wrapped=False):
    """Rename a file of ours as the original does, inside its `model` wrapper."""
    layout = Layout(reference=True, language_model="mistral", wrapped=wrapped)
    theirs = {layout.theirs(name): value for name, value in load_file(path).items()}
    target = path.with_suffix(".pth")
    torch.save({"model": theirs}, target)
    return target


@pytest.fixture
def one(tmp_path, stage1):
    with torch.no_grad():
        for parameter in stage1.parameters():
            parameter.add_(0.01)
    return save(stage1, tmp_path / "one.safetensors")


def test_stage_1_begins_with_an_encoder_alone(tmp_path, stage1, tiny):
    path = tmp_path / "encoder.safetensors"
    save_weights(stage1, path, exclude=["qformer.*", "*_projection.*", "match_head.*", "t*"])
    model = VideoTextPretraining(tiny)

    initialise(model, path, stage=1)

    assert not differing(model.video_encoder, stage1.video_encoder)


def test_stage_2_begins_with_stage_1(one, stage1, tiny):
    model = VideoChat(tiny, stage=2)

    initialise(model, one, stage=2)

    new = ("qformer.extra_query_tokens", "projector.", "language_model.")
    assert differing(model, stage1) == starting_with(model, *new)


def test_stage_2_hands_on_the_text_branch(one, stage1, tiny):
    carried = initialise(VideoChat(tiny, stage=2), one, stage=2)

    text = starting_with(stage1, "qformer.text_embedding.") | {
        name for name in stage1.state_dict() if ".text_ffn." in name
    }
    assert set(carried) == text


def test_stage_3_begins_with_stages_1_and_2(tmp_path, one, stage1, tiny):
    second, third = VideoChat(tiny, stage=2), VideoChat(tiny, stage=3)
    carried = initialise(second, one, stage=2)

    nothing = initialise(third, save(second, tmp_path / "two.safetensors", carried), stage=3)

    assert nothing == {}
    new = ("projector.", "qformer.extra_query_tokens", "language_model.")
    assert differing(third, stage1) == starting_with(third, *new)
    assert torch.equal(third.projector.linear.weight, second.projector.linear.weight)


def test_stage_3_without_text_branch_is_refused(tmp_path, one, stage3, tiny):
    second = VideoChat(tiny, stage=2)
    initialise(second, one, stage=2)

    with pytest.raises(WeightsError, match=r"missing key qformer\.text_embedding\.words\.weight"):
        initialise(stage3, save(second, tmp_path / "two.safetensors"), stage=3)


def test_finished_stage_3_loads_as_it_is(tmp_path, stage3, tiny):
    path = save(stage3, tmp_path / "three.safetensors")
    again = VideoChat(tiny, stage=3)

    initialise(again, path, stage=None)

    saved = load_file(path)
    assert all(torch.equal(again.state_dict()[name], value) for name, value in saved.items())
    inside = [name for name in saved if name.startswith("language_model.")]
    assert len(inside) == 2 * (4 * 7 + 1)
    assert all("lora_" in name for name in inside)


def test_file_without_adapters_is_no_finished_stage_3(tmp_path, stage3):
    path = tmp_path / "three.safetensors"
    save_weights(stage3, path, exclude=["language_model.*"])

    with pytest.raises(WeightsError, match=r"missing key language_model\..*lora_A"):
        initialise(stage3, path, stage=None)


def test_released_file_of_stage_1_begins_stage_2_and_hands_on_its_text_branch(one, stage1, tiny):
    model, same = VideoChat(tiny, stage=2), VideoChat(tiny, stage=2)

    carried = initialise(model, as_the_original(one), stage=2)

    expected = initialise(same, one, stage=2)
    assert carried.keys() == expected.keys()
    new = ("qformer.extra_query_tokens", "projector.", "language_model.")
    assert differing(model, stage1) == starting_with(model, *new)


def test_released_file_of_stage_3_is_ready_to_be_evaluated(tmp_path, stage3, tiny):
    path = as_the_original(save(stage3, tmp_path / "three.safetensors"), wrapped=True)
    again = VideoChat(tiny, stage=3)

    initialise(again, path, stage=None)

    base = base_language_model_names(again)
    assert differing(again, stage3) <= set(base)


def test_new_part_of_a_stage_is_in_the_file_whole_or_not_at_all(tmp_path, stage3):
    path = tmp_path / "three.safetensors"
    some = "language_model.lm_head.lora_A.default.weight"
    save_weights(stage3, path, exclude=[*base_language_model_names(stage3), some])

    assert [fault.split(" [")[0] for fault in faults_of_start(stage3, path, stage=3)] == [
        f"missing key {some}"
    ]


@pytest.mark.parametrize("stage", [1, 2])
def test_file_of_another_model_is_refused(tmp_path, stage, tiny):
    path = tmp_path / "other.safetensors"
    write_tensors({"text_model.norm.weight": torch.ones(2)}, path)
    model = VideoTextPretraining(tiny) if stage == 1 else VideoChat(tiny, stage=stage)

    with pytest.raises(WeightsError, match=r"no weight of \w+, but text_model\.norm\.weight"):
        initialise(model, path, stage=stage)
