"""What a rank tells of its steps and its clips."""

import math
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from jobs.checkpoint.progress import Progress
from jobs.contract.events import read_events
from jobs.contract.paths import RunFolder
from jobs.contract.spec import Train
from jobs.contract.story import read_story
from jobs.data.dataset import BadClip, SampleKey
from jobs.data.loader import Batch
from jobs.feed import StepBatches
from jobs.reporter import Reporter, tell_bad_clips
from jobs.steps import StepOutcome
from tests.jobs.paper import paper_job

BATCHES = StepBatches((Batch((), number=0, clips=3, tokens=40),), waited_s=0.25)
ROOT = Path(__file__).parents[2]


def recipe(log_every_s: float) -> Train:
    """A recipe that says how often."""
    told = {"entry": "stage3", "lr": 1, "global_batch": 2, "data": [{"annotations": "none.json"}]}
    return Train.model_validate(told | {"log_every_s": log_every_s})


def make_steps(reporter: Reporter, steps, losses, *, outcome=None) -> None:
    """Has a reporter hear of steps that took a second each."""
    for step, loss in zip(steps, losses, strict=True):
        reporter.step(
            Progress(step=step),
            outcome or StepOutcome((), loss, grad_norm=2.0),
            lr=0.5,
            step_s=1.0,
            batches=BATCHES,
            counts=reporter.counts(BATCHES),
        )


def told_by(job) -> list:
    """The events of an attempt that is over."""
    job.events.close()
    return list(read_events(job.folder.events_file(job.place.attempt)))


def curves(run: RunFolder) -> EventAccumulator:
    """What TensorBoard makes of the stage's folder."""
    return EventAccumulator(str(run.stage("s1").tensorboard)).Reload()


def test_bad_clip_of_another_rank_than_0_stands_in_that_ranks_log(capsys):
    job = paper_job(RunFolder(Path("runs")), rank=3, ranks=4)
    bad = BadClip("set", "broken.mp4", "OSError", "no film", SampleKey(0, 5))

    tell_bad_clips(job, [bad])

    assert capsys.readouterr().out == "left out broken.mp4 of set set: no film\n"


def test_last_step_is_known_although_it_was_not_told(tmp_path):
    job = paper_job(RunFolder(tmp_path))

    make_steps(Reporter(job, recipe(1e9)), (1, 2), (0.5, 0.5))

    assert job.reached.step == 2


def test_step_is_told_with_the_means_since_the_one_told_before(tmp_path):
    job = paper_job(RunFolder(tmp_path), told=True)
    reporter = Reporter(job, recipe(1e9))

    make_steps(reporter, (1, 2, 3, 4), (0.5, 1.0, 2.0, 6.0))
    reporter.finished()

    first, last = [event.fields for event in told_by(job) if event.kind == "step"]
    assert (first["step"], first["loss"]) == (1, 0.5)
    assert (last["step"], last["loss"], last["grad_norm"], last["lr"]) == (4, 3.0, 2.0, 0.5)
    assert (last["step_s"], last["data_s"]) == (1.25, 0.25)
    assert last["clips_per_s"] / last["tokens_per_s"] == pytest.approx(3 / 40)
    assert last["memory_gb"] > 0.01
    assert not {"loss_scale", "mfu"} & {*first, *last}


def skip(reporter: Reporter, step: int, *, total: int) -> None:
    """Has a reporter hear of a step without a finite loss."""
    reporter.step(
        Progress(step, skipped=total, skipped_in_a_row=1),
        StepOutcome((), math.nan, (math.nan,), "loss"),
        lr=1,
        step_s=1,
        batches=BATCHES,
        counts=reporter.counts(BATCHES),
    )


def test_skipped_steps_are_told_with_the_next_line_about_a_step(tmp_path):
    job = paper_job(RunFolder(tmp_path), told=True)
    reporter = Reporter(job, recipe(1e9))
    make_steps(reporter, (1, 2), (0.5, 0.25))

    skip(reporter, 3, total=4)
    skip(reporter, 4, total=5)
    reporter.finished()

    _, last = [event for event in told_by(job) if event.kind != "first_step"]
    assert (last.kind, last.fields["step"], last.fields["loss"]) == ("step", 2, 0.25)
    assert (last.fields["skipped"], last.fields["skipped_since"]) == (5, {"loss": 2})
    assert read_story(job.folder.events_file(job.place.attempt)).skipped == 5


def test_skipped_step_has_a_line_of_its_own_where_no_other_has_changed_a_weight(tmp_path):
    job = paper_job(RunFolder(tmp_path), told=True)
    reporter = Reporter(job, recipe(1e9))
    make_steps(reporter, (1,), (0.5,))

    skip(reporter, 2, total=1)
    reporter.finished()

    _, last = [event for event in told_by(job) if event.kind != "first_step"]
    assert (last.kind, last.fields["step"], last.fields["in_a_row"]) == ("skipped", 2, 1)
    story = read_story(job.folder.events_file(job.place.attempt))
    assert (story.last_step, story.loss, story.skipped) == (2, 0.5, 1)


def test_all_that_goes_wrong_between_two_lines_is_one_line(tmp_path):
    job = paper_job(RunFolder(tmp_path), told=True)
    reporter = Reporter(job, recipe(1e9))
    make_steps(reporter, (1,), (0.5,))

    for number in range(1000):
        tell_bad_clips(job, [BadClip("set", f"{number}.mp4", "OSError", "", SampleKey(0, number))])
        skip(reporter, 2 + number, total=1 + number)
    job.news.lag({"step": 100, "lagging": 1})
    job.tell("exit", outcome="failed", code=1, message="", step=1001)

    *_, last = told = told_by(job)
    assert [event.kind for event in told] == ["first_step", "step", "exit"]
    assert last.fields["bad_clips"] == 1000
    assert [each["path"] for each in last.fields["files"]] == ["0.mp4", "1.mp4", "2.mp4"]
    assert (last.fields["skipped_since"], last.fields["stragglers"]["step"]) == (
        {"loss": 1000},
        100,
    )
    story = read_story(job.folder.events_file(job.place.attempt))
    assert (story.last_step, story.skipped, story.outcome) == (1001, 1000, "failed")


def test_loss_of_a_skipped_step_is_in_no_mean(tmp_path):
    job = paper_job(RunFolder(tmp_path), told=True)
    reporter = Reporter(job, recipe(1e9))
    make_steps(reporter, (1,), (0.5,))

    make_steps(reporter, (2,), (math.nan,), outcome=StepOutcome((), math.nan, (), "loss"))
    make_steps(reporter, (3,), (0.75,))
    reporter.finished()

    assert [e.fields["loss"] for e in told_by(job) if e.kind == "step"] == [0.5, 0.75]


def test_first_step_tells_where_the_seconds_since_the_process_began_went(tmp_path):
    job = paper_job(RunFolder(tmp_path), told=True)
    job.clock.mark("imports")
    reporter = Reporter(job, recipe(1e9))
    reporter.started(Progress(), 2, 1)

    make_steps(reporter, (1, 2), (0.5, 0.5))

    (told,) = [event.fields for event in told_by(job) if event.kind == "first_step"]
    assert list(told["parts"]) == ["imports", "checkpoint", "first_batch", "first_step"]
    assert told["parts"]["first_batch"] == 0.25
    assert told["start_s"] == pytest.approx(sum(told["parts"].values()))
    story = read_story(job.folder.events_file(job.place.attempt))
    assert story.start_s == told["start_s"]


def test_curves_of_a_resumed_attempt_replace_those_that_were_lost(tmp_path):
    run = RunFolder(tmp_path)
    for resumed_at, steps, loss in [(0, (1, 2, 3, 4), 8.0), (2, (3, 4, 5), 2.0)]:
        reporter = Reporter(paper_job(run), recipe(1e-9))
        reporter.started(Progress(step=resumed_at), 5, 1)
        make_steps(reporter, steps, [loss] * len(steps))
        reporter.finished()

    found = [(value.step, value.value) for value in curves(run).Scalars("train/loss")]

    assert found == [(1, 8.0), (2, 8.0), (3, 2.0), (4, 2.0), (5, 2.0)]


def test_only_rank_0_draws_curves(tmp_path):
    run = RunFolder(tmp_path)
    reporter = Reporter(paper_job(run, rank=1, ranks=2), recipe(1e-9))
    reporter.started(Progress(), 2, 1)

    make_steps(reporter, (1, 2), (1.0, 1.0))
    reporter.finished()

    assert not run.stage("s1").tensorboard.exists()


def test_folder_that_takes_no_curves_is_told_once_and_the_steps_go_on(tmp_path):
    run = RunFolder(tmp_path)
    job = paper_job(run, told=True)
    run.stage("s1").tensorboard.write_text("a file where the folder should be")
    reporter = Reporter(job, recipe(1e-9))
    reporter.started(Progress(), 3, 1)

    make_steps(reporter, (1, 2, 3), (1.0, 1.0, 1.0))
    reporter.finished()

    told = told_by(job)
    assert [event.fields["step"] for event in told if event.kind == "step"] == [1, 2, 3]
    (refused,) = [event.fields["message"] for event in told if event.kind == "no_tensorboard"]
    assert "FileExistsError" in refused


FULL_DISK = """
import sys
from pathlib import Path
from jobs.checkpoint.progress import Progress
from jobs.contract.paths import RunFolder
from jobs.reporter import Reporter
from tests.jobs.paper import paper_job
from tests.jobs.test_reporter import limit_files, make_steps, recipe

job = paper_job(RunFolder(Path(sys.argv[1])), told=True)
reporter = Reporter(job, recipe(1e-9))
reporter.started(Progress(), 60, 1)
make_steps(reporter, [1], [1.0])
limit_files(30_000)  # the curves take more of it than the events
make_steps(reporter, range(2, 61), [1.0] * 59)
reporter.finished()
"""


def limit_files(most: int) -> None:
    """Has the kernel refuse to make a file of this process larger, as a full disk does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def test_disk_that_is_full_for_the_curves_is_told_once_and_the_steps_go_on(tmp_path):
    subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        cwd=ROOT,
        check=True,
        timeout=180,
        capture_output=True,
    )

    path = RunFolder(tmp_path).stage("s1").events_file(paper_job(RunFolder(tmp_path)).place.attempt)
    told = list(read_events(path))
    assert [event.fields["step"] for event in told if event.kind == "step"] == [*range(1, 61)]
    assert len([event for event in told if event.kind == "no_tensorboard"]) == 1
