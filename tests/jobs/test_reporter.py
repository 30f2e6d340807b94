"""What a rank tells of its clips."""

from pathlib import Path

from jobs.contract.paths import AttemptKey, RunFolder
from jobs.contract.spec import StageSpec
from jobs.contract.task import StageTask
from jobs.data.dataset import BadClip, SampleKey
from jobs.distributed import Place
from jobs.reporter import tell_bad_clips
from jobs.stop import StopFlag
from jobs.task import Job


def test_bad_clip_of_another_rank_than_0_stands_in_that_ranks_log(capsys):
    spec = StageSpec(run_id="r", stage="s", model={"preset": "tiny"})
    place = Place(AttemptKey("1", 0), 3, 3, 4, ("n1",))
    task = StageTask(Path("runs"), "s", 1, "t")
    job = Job(task, spec, RunFolder(Path("runs")), place, StopFlag(), None)
    bad = BadClip("set", "broken.mp4", "OSError", "no film", SampleKey(0, 5))

    tell_bad_clips(job, [bad])

    assert capsys.readouterr().out == "left out broken.mp4 of set set: no film\n"
