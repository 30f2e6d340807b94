"""What a rank tells of its clips."""

from pathlib import Path

from jobs.checkpoint import Progress
from jobs.contract.paths import RunFolder
from jobs.data.dataset import BadClip, SampleKey
from jobs.feed import MicroBatches
from jobs.reporter import Reporter, tell_bad_clips
from tests.jobs.paper import paper_job


def test_bad_clip_of_another_rank_than_0_stands_in_that_ranks_log(capsys):
    job = paper_job(RunFolder(Path("runs")), rank=3, ranks=4)
    bad = BadClip("set", "broken.mp4", "OSError", "no film", SampleKey(0, 5))

    tell_bad_clips(job, [bad])

    assert capsys.readouterr().out == "left out broken.mp4 of set set: no film\n"


def test_last_step_is_known_although_it_was_not_told(tmp_path):
    job = paper_job(RunFolder(tmp_path))
    reporter = Reporter(job, every_s=1e9)

    for step in (1, 2):
        reporter.step(Progress(step=step), 0.5, lr=1, step_s=1, batches=MicroBatches(iter(())))

    assert job.reached.step == 2
