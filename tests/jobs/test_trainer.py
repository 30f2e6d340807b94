"""The training loop's arithmetic."""

import json

import pytest
import torch

from jobs.contract.events import read_events
from jobs.contract.paths import RunFolder
from jobs.contract.spec import Train
from jobs.job import RefusedError
from jobs.trainer import check_loss, deepspeed_config, language_model_dtype
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


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)],
)
def test_language_model_has_the_precision_that_was_asked_for(precision, dtype):
    assert language_model_dtype(precision) == dtype


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_loss_that_is_no_number_is_refused(loss):
    with pytest.raises(RefusedError, match=rf"^the loss of step 7 is {loss}; nothing is saved"):
        check_loss(loss, 7, "bf16")


def test_loss_that_overflows_in_fp16_is_left_to_the_loss_scale():
    check_loss(float("inf"), 7, "fp16")


@pytest.mark.slow
def test_run_whose_loss_is_lost_ends_as_refused_and_every_rank_says_so(material, run):
    pairs = material.train("stage1", "train_pairs.json", lr=1e30, lr_floor=1)

    attempt = run_stage(run, material.spec("s1", **pairs))

    (told,) = read_events(attempt.folder.events_file(attempt.key, rank=1))
    assert (attempt.codes, attempt.story.outcome) == ([93, 93], "refused")
    assert told.fields["outcome"] == "refused"
    assert told.fields["message"].startswith("the loss of step 2 is nan")
    assert not attempt.folder.checkpoints.exists()
