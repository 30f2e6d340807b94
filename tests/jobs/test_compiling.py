"""Whether the video encoder is compiled, and what an answer of no says."""

import pytest
import torch
from pydantic import ValidationError

from jobs.compiling import compile_encoder, hindrance_of
from jobs.contract.spec import Train
from jobs.job import RefusedError
from model.config import VideoEncoderConfig
from model.errors import ConfigError
from model.video_encoder import VideoEncoder

# Of torch itself, when its compiler is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")


def encoder(drop_path: float = 0.0) -> VideoEncoder:
    torch.manual_seed(0)
    cfg = VideoEncoderConfig(
        image_size=32, width=16, depth=2, blocks_built=2, heads=2, drop_path=drop_path
    )
    return VideoEncoder(cfg)


def recipe(**parts) -> Train:
    usual = {"entry": "stage1", "lr": 1e-3, "global_batch": 2, "data": [{"annotations": "a.json"}]}
    return Train.model_validate(usual | parts)


class Model(torch.nn.Module):
    def __init__(self, drop_path: float = 0.0) -> None:
        super().__init__()
        self.video_encoder = encoder(drop_path)


def is_compiled(block: torch.nn.Module) -> bool:
    return block._compiled_call_impl is not None


@pytest.fixture
def no_compiler(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("CC", raising=False)


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    program = tmp_path / "a-compiler"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("CXX", f"{program} -O2")
    monkeypatch.setenv("CC", f"{program} -O2")


@pytest.mark.usefixtures("no_compiler")
def test_missing_compiler_is_named_for_each_device():
    assert hindrance_of(encoder(), 1, has_gpu=False) == (
        "there is no compiler: g++ or clang++ ($CXX) is not on PATH"
    )
    assert hindrance_of(encoder(), 1, has_gpu=True) == (
        "there is no compiler: gcc or clang or cc ($CC) is not on PATH"
    )


@pytest.mark.usefixtures("compiler")
def test_nothing_is_in_the_way_where_there_is_a_compiler():
    assert hindrance_of(encoder(), 2, has_gpu=False) == ""


@pytest.mark.usefixtures("no_compiler")
def test_compiler_that_the_variable_names_must_be_there(monkeypatch):
    monkeypatch.setenv("CXX", "nowhere-g++ -m64")

    assert "nowhere-g++ ($CXX) is not on PATH" in hindrance_of(encoder(), 1, has_gpu=False)


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize(
    ("drop_path", "zero_stage", "why"),
    [
        (None, 1, "the stage has no video encoder"),
        (0.0, 3, "zero_stage is 3"),
        (0.1, 1, "drop_path is not 0"),
    ],
)
def test_hindrance_says_what_cannot_be_compiled(drop_path, zero_stage, why):
    part = None if drop_path is None else encoder(drop_path)

    assert why in hindrance_of(part, zero_stage, has_gpu=False)


@pytest.mark.usefixtures("no_compiler")
def test_wish_that_cannot_be_met_is_refused_with_the_reason():
    with pytest.raises(RefusedError, match=r"compile: true, but there is no compiler.*to false"):
        compile_encoder(Model(), recipe(compile=True))


@pytest.mark.usefixtures("compiler")
def test_wish_is_met_on_a_cpu_and_no_weight_changes_its_name():
    model, names = Model(), list(Model().state_dict())

    compile_encoder(model, recipe(compile=True))

    assert all(is_compiled(block) for block in model.video_encoder.blocks)
    assert list(model.state_dict()) == names


@pytest.mark.usefixtures("no_compiler")
def test_nobody_who_did_not_ask_needs_a_compiler():
    model = Model()

    compile_encoder(model, recipe())

    assert not any(is_compiled(block) for block in model.video_encoder.blocks)


def test_blocks_that_differ_are_not_compiled_as_one():
    with pytest.raises(ConfigError, match="set it to 0, or do not compile"):
        encoder(0.1).compile_blocks()


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({"zero_stage": 3}, "compile and zero_stage: 3 do not go together"),
        ({"entry": "language_model"}, "language_model has no video encoder"),
    ],
)
def test_recipe_that_cannot_be_compiled_is_refused_at_once(parts, why):
    with pytest.raises(ValidationError, match=why):
        recipe(compile=True, **parts)
