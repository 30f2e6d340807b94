"""Which evaluation takes the weights of which stage."""

import json

import pytest
import torch

from jobs.build import model_config
from jobs.check_weights import main
from jobs.evaluation.fitting import faults_of_evaluation, stage_of
from model.errors import WeightsError
from model.video_chat import VideoChat
from model.video_text import VideoTextPretraining
from model.weights import save_weights


@pytest.fixture(scope="module")
def config(material):
    return model_config(material.spec("s2").model)


@pytest.fixture(scope="module")
def weights(config, tmp_path_factory):
    """What each stage leaves behind, by its number."""
    folder = tmp_path_factory.mktemp("stages")
    torch.manual_seed(1)
    modules = {1: VideoTextPretraining(config)}
    modules |= {stage: VideoChat(config, stage=stage) for stage in (2, 3)}
    for stage, module in modules.items():
        save_weights(module, folder / f"{stage}.safetensors")
    return {stage: folder / f"{stage}.safetensors" for stage in modules}


@pytest.mark.parametrize(
    ("kind", "parent"),
    [("retrieval", 1), ("captions", 2), ("captions", 3), ("choice", 2), ("choice", 3)],
)
def test_weights_are_evaluated_in_the_model_of_their_own_stage(config, weights, kind, parent):
    assert stage_of(config, weights[parent], kind) == parent
    assert faults_of_evaluation(config, weights[parent], kind) == []


@pytest.mark.parametrize(("kind", "parent"), [("choice", 1), ("captions", 1), ("retrieval", 3)])
def test_weights_of_another_kind_of_stage_are_refused(config, weights, kind, parent):
    with pytest.raises(WeightsError, match=rf"{kind} needs the weights of stage [\d or]+:\n"):
        stage_of(config, weights[parent], kind)


def test_launcher_is_told_what_keeps_weights_from_an_evaluation(material, weights, capsys):
    model = material.spec("s2").model.model_dump_json()
    found = []
    for kind in ("retrieval", "choice"):
        main(["--model", model, "--weights", str(weights[1]), "--entry", kind])
        found.append(json.loads(capsys.readouterr().out)["faults"])

    assert found[0] == []
    assert any("projector" in fault for fault in found[1])
