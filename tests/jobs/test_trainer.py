"""The training loop's arithmetic."""

import json

import pytest

from jobs.contract.paths import RunFolder
from jobs.contract.spec import Train
from jobs.trainer import deepspeed_config
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

    assert deepspeed_config(recipe, 32) == {
        "train_micro_batch_size_per_gpu": 2,
        "gradient_accumulation_steps": 2,
        "gradient_clipping": 1.0,
        "zero_optimization": {"stage": 2},
        "bf16": {"enabled": True},
        "fp16": {"enabled": False},
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 1_000_000_000,
    }
