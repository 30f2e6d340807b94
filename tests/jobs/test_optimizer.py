"""Parameter groups and learning rate."""

import pytest
from torch import nn

from jobs.contract.spec import Train
from jobs.optimizer import build_optimizer, lr_multiple, parameter_groups
from model.presets import PRESETS
from model.video_text import VideoTextPretraining

# Steps and multiples that torch's LambdaLR gave in the reference (VideoChat2's cosine with
# warm-up) for: steps per epoch x epochs, warm-up epochs, floor.
REFERENCE = {
    (1234, 10, 0.2, 0.01): {
        0: 0.01,
        3: 0.012155591572123176,
        246: 0.9967585089141004,
        247: 0.9999999993251345,
        6170: 0.5160257887858277,
        11106: 0.02547212649466568,
        12339: 0.01,
    },
    (14403, 3, 0.6, 0.25): {
        0: 0.25,
        4320: 0.49989585503020206,
        8641: 0.999907426693513,
        21604: 0.6913627073666389,
        32406: 0.25,
    },
    (7, 3, 0.6, 0.25): {
        2: 0.47619047619047616,
        4: 0.9523809523809523,
        5: 0.9944154131125642,
        12: 0.555982238051654,
        20: 0.25,
    },
    (1001, 1, 0, 0.01): {0: 1.0, 500: 0.5007846132278326, 900: 0.02491006430932252, 1000: 0.01},
}


@pytest.mark.parametrize("settings", REFERENCE)
def test_learning_rate_follows_the_reference(settings):
    per_epoch, epochs, warmup_epochs, floor = settings
    expected = REFERENCE[settings]

    multiples = {
        step: lr_multiple(
            step,
            warmup_steps=warmup_epochs * per_epoch,
            total_steps=epochs * per_epoch,
            floor=floor,
        )
        for step in expected
    }

    assert multiples == pytest.approx(expected, rel=1e-12)


def test_learning_rate_stays_at_the_floor_after_the_end():
    assert lr_multiple(27, warmup_steps=0, total_steps=10, floor=0.25) == 0.25


class Net(nn.Module):
    """Parameters of all sorts."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.norm = nn.LayerNorm(2)
        self.table = nn.Embedding(4, 2)
        self.frozen = nn.Linear(2, 2).requires_grad_(False)  # noqa: FBT003 - torch's own form


def test_weights_decay_and_biases_norms_and_frozen_ones_do_not():
    net = Net()

    groups = parameter_groups(net.named_parameters(), 0.02)

    names = {id(parameter): name for name, parameter in net.named_parameters()}
    assert [
        ([names[id(p)] for p in group["params"]], group["weight_decay"]) for group in groups
    ] == [
        (["linear.weight", "table.weight"], 0.02),
        (["linear.bias", "norm.weight", "norm.bias"], 0.0),
    ]


def test_stage_1_keeps_temperature_and_queries_from_decaying():
    model = VideoTextPretraining(PRESETS["tiny"])
    recipe = Train(entry="stage1", lr=1e-4, batch_per_gpu=1, data=[{"annotations": "a.json"}])

    groups = build_optimizer(model, recipe).param_groups

    names = {id(parameter): name for name, parameter in model.named_parameters()}
    plain = {
        names[id(each)] for group in groups if not group["weight_decay"] for each in group["params"]
    }
    assert plain >= {"temperature", "frame_embedding", "qformer.query_tokens"}


def test_optimizer_makes_one_pass_over_each_tensor():
    recipe = Train(entry="stage3", lr=1e-4, batch_per_gpu=1, data=[{"annotations": "a.json"}])

    assert build_optimizer(Net(), recipe).defaults["fused"]


def test_bias_with_two_dimensions_does_not_decay():
    (group,) = parameter_groups([("heads.bias", nn.Parameter(nn.Linear(2, 2).weight))], 0.02)

    assert group["weight_decay"] == 0.0
