"""Runs whose numbers are lost: what is told, what is kept, and when they stop."""

import json

import pytest

from jobs.checkpoint.progress import Progress
from jobs.contract.events import read_events
from jobs.contract.paths import RunFolder
from jobs.contract.spec import Train
from jobs.data.dataset import BadClip, ClipDataset, Sample, SampleKey
from jobs.data.items import CaptionItem, ConversationItem, MediaSet, Turn
from jobs.data.loader import Batch
from jobs.feed import Schedule
from jobs.job import RefusedError
from jobs.origins import Origins
from jobs.stability import StepWatch
from jobs.steps import StepOutcome
from jobs.trainer import begin
from tests.jobs.paper import paper_job
from tests.jobs.running import run_stage

RECIPE = {
    "entry": "stage1",
    "lr": 1e-4,
    "global_batch": 2,
    "data": [{"annotations": "a.json"}],
}


@pytest.fixture
def origins(tmp_path) -> Origins:
    pictures = MediaSet(
        "pictures", "image", (CaptionItem("image", "a.png", "a"),), tmp_path / "pictures"
    )
    clips = tuple(
        ConversationItem("video", f"{row}.mp4", (Turn("", "q", "a"),), start_s=2.0, end_s=5.0)
        for row in range(3)
    )
    sets = [pictures, MediaSet("clips", "video", clips, tmp_path / "clips")]
    return Origins(ClipDataset(sets, frames=4, size_px=8, train=True))


def bad_clip(index: int) -> BadClip:
    return BadClip("any", "any", "OSError", "no film", SampleKey(0, index))


def test_sample_is_traced_to_its_set_file_and_row(origins, tmp_path):
    _, item = origins.dataset.find(2)
    sample = Sample(None, item, SampleKey(1, 2), "clips", (2.5, 4.0))

    told = origins.describe(Batch((sample,), (bad_clip(0),)))

    place = {"start_s": 2.0, "end_s": 5.0}
    clip = {"set": "clips", "path": str(tmp_path / "clips" / "1.mp4"), "row": 1}
    picture = {"set": "pictures", "path": str(tmp_path / "pictures" / "a.png"), "row": 0}
    assert told == {
        "samples": [clip | place | {"frames_s": [2.5, 4.0]}],
        "unreadable": [picture | {"start_s": None, "end_s": None, "error": "OSError: no film"}],
    }


def test_skipped_step_moves_the_data_on_and_is_counted_until_a_good_one_comes():
    schedule = Schedule(steps_per_epoch=10, total_steps=10, warmup_steps=0)

    twice = schedule.after(schedule.after(Progress(), 8, skipped=True), 8, skipped=True)
    good = schedule.after(twice, 8)

    assert twice == Progress(2, 0, 2, 16, skipped=2, skipped_in_a_row=2)
    assert good == Progress(3, 0, 3, 24, skipped=2, skipped_in_a_row=0)


def test_progress_of_a_checkpoint_that_knows_no_skipped_steps_is_read():
    old = {"step": 5, "epoch": 1, "batch": 2, "samples_seen": 40}

    assert Progress(**old) == Progress(5, 1, 2, 40, skipped=0, skipped_in_a_row=0)


def test_fewer_bad_steps_in_a_row_than_allowed_do_not_stop_the_run(origins, tmp_path):
    job = paper_job(RunFolder(tmp_path))
    watch = StepWatch(job, Train.model_validate(RECIPE | {"max_bad_steps": 3}), origins)

    watch.judge(Progress(2, skipped=2, skipped_in_a_row=2), StepOutcome((), (), "loss"), lr=1)

    assert not (job.folder.root / "reports").exists()


def test_fp16_on_a_machine_without_a_gpu_is_refused_with_what_to_do(tmp_path):
    job = paper_job(RunFolder(tmp_path), train=RECIPE | {"precision": "fp16"})

    with pytest.raises(RefusedError) as caught:
        begin(job)

    assert str(caught.value) == (
        "stage s1: precision: fp16 needs a GPU, and n1 shows none: "
        "give the stage GPUs, or set precision to auto, bf16 or fp32"
    )


@pytest.mark.slow
def test_run_that_is_lost_goes_on_counting_after_a_restart_and_stops_with_a_report(material, run):
    # The first step throws the weights so far away that no later loss is a number.
    lost = {"lr": 1e30, "lr_floor": 1, "max_bad_steps": 4, "global_batch": 8}
    first = material.train("stage1", "train_pairs.json", max_steps=3, **lost)
    more = material.train("stage1", "train_pairs.json", max_steps=50, epochs=50, **lost)

    before = run_stage(run, material.spec("s1", **first))
    after = run_stage(run, material.spec("s1", **more))

    skipped = [event.fields for attempt in (before, after) for event in attempt.events("skipped")]
    assert before.codes == [0, 0]
    assert skipped == [
        {"step": step, "why": "loss", "in_a_row": step - 1, "total": step - 1}
        | {"skipped": step - 1, "skipped_since": {"loss": 1}}
        for step in (2, 3, 4, 5)
    ]
    assert (after.codes, after.story.outcome, after.story.skipped) == ([93, 93], "refused", 4)
    (told,) = read_events(after.folder.events_file(after.key, rank=1))
    assert told.fields["message"] == after.story.message
    assert [path.name for path in after.folder.checkpoints.glob("step-*")] == [
        before.folder.checkpoint(3, final=True).name
    ]
    check_report(json.loads((run.root / after.story.report).read_text()), material)


@pytest.mark.slow
def test_ranks_stay_in_step_although_one_of_them_can_read_nothing(material, run, tmp_path):
    rows = json.loads((material.clips / "train_pairs.json").read_text())[:8]
    for row in (2, 5):  # micro-batches of one sample: each of these is one without any
        rows[row]["video"] = f"broken-{row}.mp4"
        (tmp_path / f"broken-{row}.mp4").write_bytes(b"no film")
    (tmp_path / "clips").symlink_to(material.clips / "clips")
    annotations = tmp_path / "rows.json"
    annotations.write_text(json.dumps(rows))
    recipe = material.train(
        "stage1",
        "-",
        data=[{"annotations": str(annotations)}],
        global_batch=2,
        max_bad=1.0,
        zero_stage=3,
    )

    attempt = run_stage(run, material.spec("s1", **recipe))

    told = [event.fields["step"] for kind in ("step", "skipped") for event in attempt.events(kind)]
    assert (attempt.codes, attempt.story.outcome) == ([0, 0], "done"), attempt.log(0)[-2000:]
    assert sorted(told) == [1, 2, 3, 4]
    left_out = {row for row in (2, 5) for rank in (0, 1) if f"broken-{row}" in attempt.log(rank)}
    assert left_out == {2, 5}


def check_report(report: dict, material) -> None:
    """Steps of this attempt, each with the rows and losses of both ranks."""
    rows = json.loads((material.clips / "train_pairs.json").read_text())
    assert (report["skipped_in_a_row"], report["reason"]) == (4, "4 steps in a row were skipped")
    assert [step["step"] for step in report["steps"]] == [4, 5]
    for step in report["steps"]:
        assert [each["rank"] for each in step["micro_batches"]] == [0, 1]
        assert {each["loss"] for each in step["micro_batches"]} <= {"nan", "inf"}
        samples = [each for batch in step["micro_batches"] for each in batch["samples"]]
        assert len(samples) == 8
        for each in samples:
            assert each["path"] == str(material.clips / rows[each["row"]]["video"])
