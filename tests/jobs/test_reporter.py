"""What a rank tells of its clips."""

from pathlib import Path

from jobs.checkpoint.progress import Progress
from jobs.contract.events import read_events, read_story
from jobs.contract.paths import RunFolder
from jobs.data.dataset import BadClip, SampleKey
from jobs.feed import MicroBatches
from jobs.reporter import Reporter, tell_bad_clips
from jobs.steps import StepOutcome
from tests.jobs.paper import paper_job

GOOD = StepOutcome((), (0.25, 0.75), grad_norm=2.0)


def test_bad_clip_of_another_rank_than_0_stands_in_that_ranks_log(capsys):
    job = paper_job(RunFolder(Path("runs")), rank=3, ranks=4)
    bad = BadClip("set", "broken.mp4", "OSError", "no film", SampleKey(0, 5))

    tell_bad_clips(job, [bad])

    assert capsys.readouterr().out == "left out broken.mp4 of set set: no film\n"


def test_last_step_is_known_although_it_was_not_told(tmp_path):
    job = paper_job(RunFolder(tmp_path))
    reporter = Reporter(job, every_s=1e9)

    for step in (1, 2):
        reporter.step(Progress(step=step), GOOD, lr=1, step_s=1, batches=MicroBatches(iter(())))

    assert job.reached.step == 2


def test_step_tells_its_mean_loss_and_the_gradients_norm(tmp_path):
    job = paper_job(RunFolder(tmp_path), told=True)

    Reporter(job, every_s=1e-9).step(
        Progress(step=1), GOOD, lr=1, step_s=1, batches=MicroBatches(iter(()))
    )

    job.events.close()
    (told,) = read_events(job.folder.events_file(job.place.attempt))
    assert (told.fields["loss"], told.fields["grad_norm"]) == (0.5, 2.0)
    assert "loss_scale" not in told.fields


def test_skipped_step_is_told_at_once_and_after_the_good_one_before_it(tmp_path):
    job = paper_job(RunFolder(tmp_path), told=True)
    reporter = Reporter(job, every_s=1e9)
    lost = StepOutcome((), (float("nan"),), "loss")

    for progress, outcome in [
        (Progress(1), GOOD),
        (Progress(2), GOOD),
        (Progress(3, skipped=4, skipped_in_a_row=1), lost),
    ]:
        reporter.step(progress, outcome, lr=1, step_s=1, batches=MicroBatches(iter(())))

    job.events.close()
    path = job.folder.events_file(job.place.attempt)
    told = list(read_events(path))
    assert [(event.kind, event.fields["step"]) for event in told] == [
        ("step", 1),
        ("step", 2),
        ("skipped", 3),
    ]
    assert told[2].fields == {"step": 3, "why": "loss", "in_a_row": 1, "total": 4}
    story = read_story(path)
    assert (story.last_step, story.loss, story.skipped) == (3, 0.5, 4)
