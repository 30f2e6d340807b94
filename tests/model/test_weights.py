import sys
import types

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from model.errors import WeightsError
from model.weights import (
    check_file,
    load_tensors,
    load_weights,
    read_tensors,
    save_weights,
    shapes_of,
    write_tensors,
)

SHAPES = {"first.weight": (3, 2), "first.bias": (3,), "second.weight": (1, 3)}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 3)
        self.second = nn.Linear(3, 1, bias=False)


@pytest.fixture
def file(tmp_path):
    def write(**changes):
        tensors = {name: torch.ones(shape) for name, shape in SHAPES.items()} | changes
        tensors = {name: value for name, value in tensors.items() if value is not None}
        save_file(tensors, tmp_path / "net.safetensors")
        return tmp_path / "net.safetensors"

    return write


def findings(error):
    return [line.strip() for line in str(error.value).splitlines()[1:]]


@pytest.mark.parametrize("name", ["net.safetensors", "net.pth"])
def test_weights_survive_the_file(tmp_path, name):
    before, after = Net(), Net()
    path = tmp_path / name
    if path.suffix == ".pth":
        torch.save(before.state_dict(), path)
    else:
        save_weights(before, path)

    load_weights(after, path)

    assert all(torch.equal(after.state_dict()[n], v) for n, v in before.state_dict().items())
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("wrapper", ["model", "module"])
def test_wrapper_is_taken_off(tmp_path, wrapper):
    path = tmp_path / "net.pt"
    torch.save({wrapper: {n: torch.ones(s) for n, s in SHAPES.items()}, "epoch": 3}, path)
    net = Net()

    load_weights(net, path)

    assert net.second.weight.tolist() == [[1, 1, 1]]


def test_unknown_key_is_named_with_shape_and_nearest(file):
    path = file(**{"first.weigth": torch.ones(3, 2), "first.weight": None})

    with pytest.raises(WeightsError) as error:
        load_weights(Net(), path)

    assert findings(error) == [
        "unknown key first.weigth [3, 2]; nearest: first.weight",
        "missing key first.weight [3, 2]; nearest: first.weigth",
    ]


def test_wrong_shape_names_both_shapes(file):
    with pytest.raises(WeightsError) as error:
        load_weights(Net(), file(**{"first.bias": torch.ones(4)}))

    assert findings(error) == ["wrong shape first.bias [4], the model has [3]"]


def test_nothing_is_loaded_from_a_file_that_does_not_fit(file):
    net = Net()
    before = net.first.weight.clone()

    with pytest.raises(WeightsError):
        load_weights(net, file(**{"second.weight": None}))

    assert torch.equal(net.first.weight, before)


def test_many_findings_are_cut_at_ten_and_counted(file):
    extra = {f"x{index}": torch.ones(1) for index in range(13)}

    with pytest.raises(WeightsError) as error:
        load_weights(Net(), file(**extra))

    assert len(findings(error)) == 11
    assert findings(error)[-1] == "and 3 more"


def test_listed_exceptions_are_let_through(file):
    net = Net()
    path = file(**{"second.weight": None, "old.bias": torch.ones(1)})

    load_weights(net, path, may_lack=["second.*"], may_ignore=["old.bias"])

    assert net.first.bias.tolist() == [1, 1, 1]


def test_exception_for_one_name_is_no_exception_for_another(file):
    assert check_file(file(**{"first.bias": None}), SHAPES, may_lack=["first.weight"]) == [
        "missing key first.bias [3]; nearest: first.weight"
    ]


def test_check_of_a_fitting_file_finds_nothing(file):
    assert check_file(file(), SHAPES) == []


def test_check_reads_the_header_only(file):
    path = file()
    header = int.from_bytes(path.read_bytes()[:8], "little")
    path.write_bytes(path.read_bytes()[: 8 + header])

    assert check_file(path, SHAPES) == []


@pytest.mark.parametrize("name", ["net.safetensors", "net.pth"])
@pytest.mark.parametrize("content", [b"", b"no weights at all, none"])
def test_unreadable_file_is_named(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(WeightsError, match=name):
        load_weights(Net(), path)


def test_absent_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"gone\.safetensors"):
        load_weights(Net(), tmp_path / "gone.safetensors")


def test_code_in_a_pickle_is_not_run(tmp_path):
    path = tmp_path / "net.pth"
    torch.save({"first.weight": Net()}, path)

    with pytest.raises(WeightsError, match=r"net\.pth"):
        load_weights(Net(), path)


def test_excluded_weights_are_not_written(tmp_path):
    save_weights(Net(), tmp_path / "net.safetensors", exclude=["first.*"])

    assert list(load_file(tmp_path / "net.safetensors")) == ["second.weight"]


def test_tied_weights_are_written_under_both_names(tmp_path):
    net = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    net["b"].weight = net["a"].weight

    save_weights(net, tmp_path / "net.safetensors")

    assert {"a.weight", "b.weight"} <= set(load_file(tmp_path / "net.safetensors"))


def test_shapes_are_known_without_memory():
    with torch.device("meta"):
        assert shapes_of(Net()) == SHAPES


def test_tensors_load_as_strictly_as_a_file():
    with pytest.raises(WeightsError) as error:
        load_tensors(Net(), {"first.bias": torch.ones(4)}, source="here", may_lack=["*.weight"])

    assert str(error.value).startswith("here does not fit Net:")
    assert findings(error) == ["wrong shape first.bias [4], the model has [3]"]


def test_tensors_survive_the_file(tmp_path):
    write_tensors({"a": torch.ones(2), "b": torch.zeros(1)}, tmp_path / "x.safetensors")

    read = read_tensors(tmp_path / "x.safetensors", ["b*"])

    assert {name: value.tolist() for name, value in read.items()} == {"b": [0.0]}


class Stage1Head(nn.Module):
    """What the original calls vision_layernorm, temp and the head of its captions."""

    def __init__(self):
        super().__init__()
        self.visual_norm = nn.LayerNorm(2)
        self.temperature = nn.Parameter(torch.zeros(1))
        words = nn.ModuleDict({"words": nn.Embedding(3, 2)})
        self.qformer = nn.ModuleDict({"text_embedding": words})


WORDS = "qformer.bert.embeddings.word_embeddings.weight"
COPY = "qformer.cls.predictions.decoder.weight"


@pytest.fixture
def reference(tmp_path):
    def write(*, drop=(), **changes):
        tensors = {
            "vision_layernorm.weight": torch.full((2,), 3.0),
            "vision_layernorm.bias": torch.zeros(2),
            "temp": torch.tensor(0.5),
            WORDS: torch.ones(3, 2),
            COPY: torch.ones(3, 2),
            "qformer.bert.embeddings.position_ids": torch.arange(4)[None],
        } | changes
        path = tmp_path / "umt_l16_qformer.pth"
        torch.save({name: value for name, value in tensors.items() if name not in drop}, path)
        return path

    return write


def test_file_of_the_original_is_taken_as_it_is(reference):
    net = Stage1Head()

    load_weights(net, reference())

    assert net.visual_norm.weight.tolist() == [3.0, 3.0]
    assert net.temperature.tolist() == [0.5]


def test_findings_about_a_file_of_the_original_are_spelled_as_the_file(reference):
    path = reference(
        drop=["vision_layernorm.bias"],
        **{"vision_layernorm.bais": torch.zeros(2), WORDS: torch.ones(4, 2)},
    )

    with pytest.raises(WeightsError) as error:
        load_weights(Stage1Head(), path)

    assert findings(error) == [
        "unknown key vision_layernorm.bais [2]; nearest: vision_layernorm.bias",
        "missing key vision_layernorm.bias [2]; nearest: vision_layernorm.bais",
        f"wrong shape {WORDS} [4, 2], the model has [3, 2]",
    ]


def test_second_copy_of_a_weight_must_say_the_same(reference):
    with pytest.raises(WeightsError) as error:
        load_weights(Stage1Head(), reference(**{COPY: torch.zeros(3, 2)}))

    assert findings(error) == [f"{COPY} [3, 2] differs from {WORDS}, of which it is a copy"]


def test_settings_that_the_original_saves_beside_its_weights_are_no_obstacle(tmp_path):
    path = tmp_path / "ckpt_00.pth"
    weights = {name: torch.ones(shape) for name, shape in SHAPES.items()}
    module = types.ModuleType("utils.easydict")
    easy_dict = type("EasyDict", (dict,), {"__module__": "utils.easydict"})
    vars(module)["EasyDict"] = easy_dict
    sys.modules |= {"utils": types.ModuleType("utils"), "utils.easydict": module}
    try:
        config = easy_dict(lr=1e-4)
        config.lr = 1e-4
        torch.save({"model": weights, "config": config, "epoch": 0}, path)
    finally:
        del sys.modules["utils"], sys.modules["utils.easydict"]
    net = Net()

    load_weights(net, path)

    assert net.first.bias.tolist() == [1, 1, 1]
