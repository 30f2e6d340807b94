"""The recipes beside `pipeline.yaml`: what `plan` makes of them, and the reference's numbers."""

from pathlib import Path

import pytest

from launcher.pipeline import load_pipeline
from launcher.plan import make_plan
from launcher.show.plan import plan_row

ROOT = Path(__file__).parents[2]


def recipe(name):
    return load_pipeline(ROOT / f"pipeline.{name}.yaml", environ={})


def stage(name, of):
    return {each.name: each for each in recipe(name).stages}[of]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        (
            "vicuna",
            [
                ("stage1", "reused", "-", "-", "-", "-", "-"),
                ("stage2", "stage2", "4 x 8", "stage1", "1", "-", "-"),
                ("stage3", "stage3", "4 x 8", "stage2", "3", "-", "-"),
                ("mvbench", "evaluate", "1 x 8", "stage3", "-", "-", "-"),
            ],
        ),
        (
            "phi3",
            [
                ("stage1", "reused", "-", "-", "-", "-", "-"),
                ("stage2", "stage2", "4 x 8", "stage1", "1", "-", "-"),
                ("stage3", "stage3", "4 x 8", "stage2", "3", "-", "-"),
                ("mvbench", "evaluate", "1 x 8", "stage3", "-", "-", "-"),
            ],
        ),
        (
            "hd",
            [
                ("stage3", "reused", "-", "-", "-", "-", "-"),
                ("hd", "stage3", "4 x 8", "stage3", "1", "-", "-"),
                ("mvbench", "evaluate", "1 x 8", "hd", "-", "-", "-"),
            ],
        ),
    ],
)
def test_recipe_is_planned(name, rows):
    plan = make_plan(recipe(name))

    assert [plan_row(planned) for planned in plan.stages] == rows


@pytest.mark.parametrize(
    ("name", "of", "numbers"),
    [
        # sets, epochs, lr, floor, warm-up, batch on a GPU, on 32, frames, text, tiles
        ("vicuna", "stage2", (7, 1, 1e-4, 0.01, 0.2, 4, 128, 8, 512, None)),
        ("vicuna", "stage3", (36, 3, 2e-5, 0.25, 0.6, 4, 128, 8, 512, None)),
        ("phi3", "stage2", (2, 1, 1e-4, 0.01, 0.2, 20, 640, 4, 32, None)),
        ("phi3", "stage3", (37, 3, 2e-5, 0.25, 0.6, 8, 256, 8, 512, None)),
        ("hd", "hd", (51, 1, 1e-5, 0.01, 0, 3, 96, 8, 512, 6)),
    ],
)
def test_stage_has_the_numbers_of_the_reference(name, of, numbers):
    train = stage(name, of).train

    assert numbers == (
        len(train.data),
        *(train.epochs, train.lr, train.lr_floor, train.warmup_epochs),
        *(train.batch_per_gpu, train.global_batch, train.frames, train.max_text_tokens),
        train.tiles,
    )
    assert train.batching(32).rounds(32) == 1
    assert (train.weight_decay, train.clip_norm, train.seed) == (0.02, None, 42)


@pytest.mark.parametrize("name", ["vicuna", "phi3", "hd"])
def test_recipe_asks_all_of_mvbench_with_16_frames(name):
    evaluate = stage(name, "mvbench").evaluate

    assert (len(evaluate.tasks), evaluate.frames) == (20, 16)
    assert evaluate.tiles == (6 if name == "hd" else None)
