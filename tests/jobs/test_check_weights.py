"""Whether a weights file fits the stage that is to start from it."""

import json

import pytest
import torch

from jobs.build import model_config
from jobs.check_weights import find_faults, main
from model.layouts import Layout
from model.video_text import VideoTextPretraining
from model.weights import read_tensors, save_weights, write_tensors


@pytest.fixture(scope="module")
def wanted(material):
    """The tiny model."""
    return material.spec("s2").model


@pytest.fixture(scope="module")
def stage1_weights(wanted, tmp_path_factory):
    """What stage 1 leaves behind."""
    path = tmp_path_factory.mktemp("weights") / "stage1.safetensors"
    save_weights(VideoTextPretraining(model_config(wanted)), path)
    return path


@pytest.mark.parametrize("stage", [1, 2])
def test_weights_of_stage_1_fit_the_stages_that_start_from_them(wanted, stage1_weights, stage):
    assert find_faults(wanted, stage1_weights, f"stage{stage}") == []


def test_weights_that_do_not_fit_are_named_with_their_shapes(wanted, stage1_weights, tmp_path):
    tensors = read_tensors(stage1_weights, ("*",))
    tensors["visual_norm.scale"] = tensors.pop("visual_norm.weight")
    tensors["visual_norm.bias"] = torch.zeros(7)
    path = tmp_path / "other.safetensors"
    write_tensors(tensors, path)

    assert find_faults(wanted, path, "stage2") == [
        "unknown key visual_norm.scale [32]; nearest: visual_norm.weight",
        "missing key visual_norm.weight [32]; nearest: visual_norm.scale",
        "wrong shape visual_norm.bias [7], the model has [32]",
    ]


def test_weights_of_stage_1_are_not_ready_to_be_evaluated(wanted, stage1_weights):
    faults = find_faults(wanted, stage1_weights, "choice")

    missing = {fault.split(" [")[0] for fault in faults}
    assert {
        "missing key projector.linear.weight",
        "missing key qformer.extra_query_tokens",
    } < missing
    assert any(".lora_A." in fault for fault in faults)


def test_file_that_cannot_be_read_is_a_fault(wanted, tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"no weights")

    (fault,) = find_faults(wanted, path, "stage2")

    assert fault.startswith(f"{path}: not a readable safetensors file")


def test_model_that_cannot_be_built_is_a_fault(wanted, stage1_weights):
    unknown = wanted.model_copy(update={"preset": "huge"})

    (fault,) = find_faults(unknown, stage1_weights, "stage2")

    assert fault.startswith("model.preset: no 'huge'; known: ")


def test_command_prints_the_faults_as_json(wanted, stage1_weights, capsys):
    file = ["--weights", str(stage1_weights), "--entry", "stage2"]

    code = main(["--model", wanted.model_dump_json(), *file])

    assert (code, json.loads(capsys.readouterr().out)) == (0, {"faults": []})


def test_released_file_of_stage_1_fits_stage_2_and_its_faults_are_spelled_as_in_it(
    wanted, stage1_weights, tmp_path
):
    layout = Layout(reference=True)
    theirs = {layout.theirs(n): t for n, t in read_tensors(stage1_weights, ("*",)).items()}
    path = tmp_path / "umt_l16_qformer.pth"
    torch.save(theirs, path)

    assert find_faults(wanted, path, "stage2") == []

    torch.save({**theirs, "vision_layernorm.bias": torch.zeros(7)}, path)
    (fault,) = find_faults(wanted, path, "stage2")
    assert fault == "wrong shape vision_layernorm.bias [7], the model has [32]"
