"""Stage specifications."""

import pytest
from pydantic import ValidationError

from jobs.contract.spec import StageSpec, Train

DATA = [{"annotations": "a.json"}]


def recipe(**batch) -> Train:
    """A recipe of which only the batch matters."""
    return Train.model_validate({"entry": "stage2", "lr": 1e-4, "data": DATA} | batch)


@pytest.mark.parametrize(
    ("batch", "world_size", "shares"),
    [
        ({"global_batch": 128}, 32, (4, 1)),
        ({"global_batch": 128, "batch_per_gpu": 2}, 32, (2, 2)),
        ({"global_batch": 128, "batch_per_gpu": 4}, 8, (4, 4)),
        ({"global_batch": 8, "batch_per_gpu": 16}, 2, (4, 1)),
        ({"batch_per_gpu": 16}, 32, (16, 1)),
        ({"global_batch": 1}, 1, (1, 1)),
    ],
)
def test_batch_is_shared_out_as_micro_batch_and_accumulation(batch, world_size, shares):
    batching = recipe(**batch).batching(world_size)

    assert (batching.micro_batch, batching.rounds(world_size)) == shares


@pytest.mark.parametrize(
    ("batch", "world_size", "message"),
    [
        ({"global_batch": 100}, 32, "global_batch 100 cannot be shared by 32 ranks"),
        ({"global_batch": 16}, 32, "global_batch 16 cannot be shared by 32 ranks"),
        (
            {"global_batch": 96, "batch_per_gpu": 2},
            32,
            "global_batch 96 on 32 ranks is 3 a rank: not a multiple of batch_per_gpu 2",
        ),
    ],
)
def test_batch_that_cannot_be_shared_out_evenly_is_refused(batch, world_size, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        recipe(**batch).batching(world_size)


def test_recipe_without_any_batch_is_refused():
    with pytest.raises(ValidationError, match="give global_batch, or batch_per_gpu, or both"):
        recipe()


def test_specification_reads_back_what_was_written(tmp_path):
    spec = StageSpec(
        run_id="r1",
        stage="s2",
        parents=("s1",),
        init_from="s1",
        nodes=4,
        model={"preset": "tiny", "overrides": {"qformer": {"layers": 1}}},
        train=recipe(global_batch=128, clip_norm=1.0),
    )

    spec.write(tmp_path / "stages" / "s2" / "spec.json")

    assert StageSpec.read(tmp_path / "stages" / "s2" / "spec.json") == spec


def test_specification_with_an_unknown_key_is_refused(tmp_path):
    path = tmp_path / "spec.json"
    path.write_text('{"run_id": "r", "stage": "s", "model": {"preset": "tiny"}, "hours": 3}')

    with pytest.raises(ValidationError, match="hours"):
        StageSpec.read(path)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"entry": "stage1", "freeze": ["projector"]},
            "freeze: stage1 can freeze video_encoder, qformer, not projector",
        ),
        (
            {"entry": "stage2", "unfreeze": ["language_model"]},
            "unfreeze: stage2 can unfreeze nothing, not language_model",
        ),
    ],
)
def test_part_that_the_stage_cannot_freeze_or_unfreeze_is_refused(parts, message):
    with pytest.raises(ValidationError, match=message):
        recipe(global_batch=8, **parts)


def test_tiles_are_refused_outside_of_stage_3():
    assert recipe(global_batch=8, entry="stage3", tiles=6).tiles == 6

    with pytest.raises(ValidationError, match="tiles: stage3 sees pictures in tiles, stage2 does"):
        recipe(global_batch=8, entry="stage2", tiles=6)


def test_stage_1_may_train_the_video_encoder():
    trained = recipe(global_batch=8, entry="stage1", unfreeze=["video_encoder"])

    assert trained.unfreeze == ("video_encoder",)
