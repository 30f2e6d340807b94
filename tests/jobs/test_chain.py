"""The three stages and the evaluation, one after another, with two ranks each."""

import pytest

from jobs.contract.manifest import checkpoint_folders, done_marker, read_manifest
from jobs.contract.story import AttemptStory
from jobs.optimizer import lr_multiple
from tests.jobs.running import extensions

pytestmark = pytest.mark.slow

STAGES = ("s1", "s2", "s3", "ev")


@pytest.mark.parametrize("stage", STAGES)
def test_stage_ends_well_on_every_rank(chain, stage):
    attempt = chain.attempts[stage]

    assert (attempt.codes, attempt.story.outcome, attempt.story.exit_code) == ([0, 0], "done", 0)


@pytest.mark.parametrize("stage", STAGES)
def test_stage_is_marked_done_by_its_final_checkpoint(chain, stage):
    folder, manifest = done_marker(chain.run.stage(stage).checkpoints, digests=True)

    saved = chain.attempts[stage].events("checkpoint")[-1].fields
    assert (saved["path"], saved["bytes"], saved["step"], saved["final"]) == (
        str(folder),
        manifest.bytes,
        manifest.step,
        True,
    )


def test_story_of_a_training_stage_says_all_that_status_shows(chain):
    story = chain.attempts["s1"].story

    assert story == AttemptStory(
        started_at=story.started_at,
        ready_at=story.ready_at,
        last_at=story.exit_at,
        hosts=("127.0.0.1",),
        world_size=2,
        first_step=0,
        last_step=18,
        total_steps=18,
        epoch=3,
        loss=story.loss,
        step_s=story.step_s,
        work_s=story.work_s,
        saved_step=18,
        save_s=story.save_s,
        outcome="done",
        exit_code=0,
        exit_at=story.exit_at,
        message="",
        start_s=story.start_s,
    )
    assert story.start_s > 0
    assert story.started_at < story.ready_at < story.exit_at
    assert story.loss > 0
    assert story.save_s > 0
    assert story.step_s > 0


def test_every_step_is_told_with_its_place_in_the_data(chain):
    steps = [event.fields for event in chain.attempts["s1"].events("step")]

    # 48 clips in batches of 8 are 6 steps an epoch.
    assert [(step["step"], step["epoch"], step["samples_seen"]) for step in steps] == [
        (number, number // 6, 8 * number) for number in range(1, 19)
    ]


def test_learning_rate_of_each_step_is_the_scheduled_one(chain):
    rates = [event.fields["lr"] for event in chain.attempts["s1"].events("step")]

    # The default warm-up of 0.2 epochs is 1.2 of the 18 steps.
    scheduled = [
        1e-3 * lr_multiple(step, warmup_steps=1.2, total_steps=18, floor=0.01) for step in range(18)
    ]
    assert rates == pytest.approx(scheduled, rel=1e-12)


def test_newest_checkpoints_stay_and_older_ones_go(chain):
    folders = checkpoint_folders(chain.run.stage("s1").checkpoints)

    # A save that is due while another is being written comes a step or two later.
    (final, before) = (folder.name for folder in folders)
    assert final == "step-00000018-final"
    assert before in ("step-00000016", "step-00000017")


def test_manifest_lists_every_file_and_where_it_comes_from(chain):
    folder, _ = done_marker(chain.run.stage("s1").checkpoints, digests=False)
    manifest = read_manifest(folder)

    assert {file.name for file in manifest.files} | {"manifest.json"} == {
        path.name for path in folder.iterdir()
    }
    assert manifest.parent == str(checkpoint_folders(folder.parent)[1])
    assert (manifest.world_size, manifest.samples_seen, manifest.weights) == (
        2,
        144,
        "weights.safetensors",
    )


def test_deepspeeds_own_marker_is_never_written(chain):
    assert list(chain.run.root.rglob("latest")) == []


def test_training_compiles_nothing_and_does_not_wait_for_a_stale_lock(chain):
    folder = extensions(chain.run)

    assert [str(path.relative_to(folder)) for path in folder.rglob("*")] == [
        "deepspeed_shm_comm",
        "deepspeed_shm_comm/lock",
    ]


def test_output_of_each_rank_is_kept_in_a_file_of_its_own(chain):
    attempt = chain.attempts["s1"]

    assert "step 18 epoch 3" in attempt.log(0)
    assert attempt.log(1).endswith("s1: done\n")
    assert "step 18" not in attempt.log(1)
