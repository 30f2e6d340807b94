"""The training loop's arithmetic."""

import json

import pytest
import torch

from jobs.contract.paths import RunFolder
from jobs.contract.spec import Train
from jobs.engine import deepspeed_config, language_model_dtype
from jobs.job import RefusedError
from jobs.trainer import begin
from tests.jobs.paper import paper_job
from tests.jobs.running import run_stage

MEASURED = 1e-6
"""Largest difference of two losses of about 5 that was seen: 4.8e-7, one unit in the last place."""


def losses(material, folder, data, batch_per_gpu):
    """Losses and learning of four steps with one micro-batch size."""
    recipe = material.train(
        "language_model", "-", data=data, lr=1e-2, max_steps=4, batch_per_gpu=batch_per_gpu
    )
    attempt = run_stage(RunFolder(folder), material.spec("lm", **recipe))
    return [event.fields["loss"] for event in attempt.events("step")]


@pytest.mark.slow
def test_accumulated_micro_batches_make_the_same_steps_as_whole_ones(material, tmp_path):
    colours = ("red", "green", "blue", "yellow")
    # Answers of equal length: the mean of two halves is the mean of the whole.
    rows = [
        {"QA": [{"i": "", "q": "which colour " * (1 + row % 3), "a": f"it is {colours[row % 4]}"}]}
        for row in range(32)
    ]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    data = [{"annotations": str(path)}]

    whole = losses(material, tmp_path / "whole", data, batch_per_gpu=4)
    accumulated = losses(material, tmp_path / "accumulated", data, batch_per_gpu=2)

    assert len(whole) == 4
    assert whole[3] < whole[0] - 0.1
    assert accumulated == pytest.approx(whole, abs=MEASURED)


def test_deepspeed_is_told_the_batch_and_never_to_build_an_optimizer():
    recipe = Train.model_validate(
        {
            "entry": "stage3",
            "lr": 2e-5,
            "global_batch": 128,
            "batch_per_gpu": 2,
            "clip_norm": 1.0,
            "precision": "bf16",
            "zero_stage": 2,
            "data": [{"annotations": "a.json"}],
        }
    )

    assert deepspeed_config(recipe, recipe.batching(32), 32) == {
        "train_micro_batch_size_per_gpu": 2,
        "gradient_accumulation_steps": 2,
        "gradient_clipping": 1.0,
        "zero_optimization": {"stage": 2},
        "bf16": {"enabled": True},
        "fp16": {
            "enabled": False,
            "initial_scale_power": 16,
            "loss_scale_window": 2000,
            "hysteresis": 1,
            "min_loss_scale": 1,
        },
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 1_000_000_000,
    }


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)],
)
def test_language_model_has_the_precision_that_was_asked_for(precision, dtype):
    assert language_model_dtype(precision) == dtype


def test_nobody_clips_twice_where_deepspeed_does_not_look_at_the_gradient():
    recipe = Train.model_validate(
        {
            "entry": "stage2",
            "lr": 1e-4,
            "global_batch": 8,
            "clip_norm": 1.0,
            "precision": "fp32",
            "zero_stage": 0,
            "data": [{"annotations": "a.json"}],
        }
    )

    assert deepspeed_config(recipe, recipe.batching(2), 2)["gradient_clipping"] == 0.0


def test_loss_scaling_is_the_references_until_it_is_set():
    recipe = {
        "entry": "stage2",
        "lr": 1e-4,
        "global_batch": 8,
        "precision": "fp16",
        "data": [{"annotations": "a.json"}],
    }
    lower = recipe | {"loss_scaling": {"initial_power": 12, "window_steps": 500}}

    usual, own = (
        deepspeed_config(train, train.batching(2), 2)["fp16"]
        for train in map(Train.model_validate, (recipe, lower))
    )

    assert usual == {
        "enabled": True,
        "initial_scale_power": 16,
        "loss_scale_window": 2000,
        "hysteresis": 1,
        "min_loss_scale": 1,
    }
    assert own == usual | {"initial_scale_power": 12, "loss_scale_window": 500}


@pytest.mark.parametrize(
    ("entry", "ranks", "words"),
    [
        ("stage1", 1, "1 of 2 ranks run; stage 1 contrasts the clips of all ranks"),
        ("stage2", 3, "3 ranks run, but its specification knows 1 nodes of 2"),
    ],
)
def test_stage_is_not_trained_on_ranks_that_change_it(tmp_path, entry, ranks, words):
    train = {"entry": entry, "lr": 1e-4, "global_batch": 8, "data": [{"annotations": "a.json"}]}
    job = paper_job(RunFolder(tmp_path), ranks=ranks, tasks_per_node=2, train=train)

    with pytest.raises(RefusedError, match=words):
        begin(job)
