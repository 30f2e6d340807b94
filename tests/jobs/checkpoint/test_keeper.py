"""When a run saves again after a save has ended, well or not; one rank, a disk that refuses."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch.distributed as dist

from jobs.checkpoint.progress import Progress
from jobs.contract.checkpointing import Checkpointing
from jobs.contract.manifest import newest_valid
from jobs.contract.paths import RunFolder
from jobs.job import StoppedError
from jobs.keeper import Keeper, Wishes
from tests.jobs.checkpoint.small import SmallEngine
from tests.jobs.paper import paper_job

RULES = Checkpointing(every=2, max_unsaved="1h")


@pytest.fixture
def one_rank(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def keeper_of(run: RunFolder, rules: Checkpointing = RULES) -> Keeper:
    made = Keeper(paper_job(run), SmallEngine(), rules, carried={})
    made.resume()
    return made


def wait_for_the_save(keeper: Keeper, step: int) -> Wishes:
    """The wishes before a step, when the save that is under way has ended."""
    ends_at = time.monotonic() + 20
    while not (wishes := keeper.wishes(Progress(step=step))).collect:
        assert time.monotonic() < ends_at
        time.sleep(0.01)
    return wishes


def refuse(run: RunFolder) -> Path:
    """Puts a file where the folder of checkpoints belongs."""
    folder = run.stage("s1").checkpoints
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("")
    return folder


@pytest.mark.usefixtures("one_rank")
def test_save_that_failed_is_not_tried_again_at_once(run):
    keeper = keeper_of(run)
    refuse(run)

    first = keeper.wishes(Progress(step=2))
    keeper.act(first, Progress(step=2))
    ended = wait_for_the_save(keeper, 4)
    keeper.act(ended, Progress(step=4))

    assert (first, ended) == (Wishes(save=1), Wishes(collect=1))
    assert keeper.wishes(Progress(step=6)) == Wishes()  # its time has not come


@pytest.mark.usefixtures("one_rank")
def test_late_save_that_went_well_is_not_made_twice(run):
    keeper = keeper_of(run, Checkpointing(every=1000, max_unsaved="1s"))
    time.sleep(0.6)  # more than half of what may be unsaved

    first = keeper.wishes(Progress(step=2))
    keeper.act(first, Progress(step=2))
    ended = wait_for_the_save(keeper, 3)

    assert (first, ended) == (Wishes(save=1), Wishes(collect=1))


@pytest.mark.usefixtures("one_rank")
def test_run_whose_disk_is_free_again_at_the_last_moment_goes_on(run):
    keeper = keeper_of(run, Checkpointing(every=1000, max_unsaved="1s"))
    time.sleep(1.1)

    wishes = keeper.wishes(Progress(step=2))
    keeper.act(wishes, Progress(step=2))

    assert wishes.give_up == 1
    assert newest_valid(run.stage("s1").checkpoints, digests=True)[1].step == 2


@pytest.mark.usefixtures("one_rank")
def test_run_whose_disk_takes_nothing_stops_before_more_is_at_risk_than_may_be(run):
    keeper = keeper_of(run, Checkpointing(every=1000, max_unsaved="1s"))
    refuse(run)
    time.sleep(1.1)

    with pytest.raises(StoppedError, match="the disk takes no checkpoint; step 0 is safe"):
        keeper.act(keeper.wishes(Progress(step=2)), Progress(step=2))


@pytest.mark.usefixtures("one_rank")
def test_stop_while_the_disk_hangs_comes_to_an_end(run, monkeypatch):
    monkeypatch.setattr("jobs.keeper.LONGEST_SAVE_S", 0.5)
    keeper = keeper_of(run, Checkpointing(every=1000, max_unsaved="1s"))
    aside = run.stage("s1").checkpoints / ".step-00000002.7.0.fence-1"
    aside.mkdir(parents=True)
    os.mkfifo(aside / "state-00000-of-00001.safetensors")  # to open it waits for a reader

    with pytest.raises(StoppedError, match="the disk takes no checkpoint; step 0 is safe"):
        keeper.stop(Progress(step=2))


@pytest.mark.usefixtures("one_rank")
def test_fence_that_cannot_be_read_ends_no_training(run):
    keeper = keeper_of(run)
    run.stage("s1").fence.parent.mkdir(parents=True, exist_ok=True)
    run.stage("s1").fence.mkdir()

    keeper.act(Wishes(save=1), Progress(step=2))  # it goes on, and the save says why it failed

    assert wait_for_the_save(keeper, 3).collect == 1
