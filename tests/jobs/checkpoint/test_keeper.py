"""When a run saves again after a save has ended, well or not; one rank, a disk that refuses."""

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch.distributed as dist

from jobs.checkpoint.progress import Progress
from jobs.checkpoint.standing import Wishes
from jobs.contract.checkpointing import Checkpointing
from jobs.contract.manifest import done_marker, newest_valid
from jobs.contract.paths import RunFolder
from jobs.job import RefusedError, StoppedError
from jobs.keeper import Keeper
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
    ends_at = time.monotonic() + 120
    while not (wishes := keeper.wishes(Progress(step=step))).collect:
        assert time.monotonic() < ends_at
        time.sleep(0.01)
    return wishes


def begin_earlier(keeper: Keeper, *, by_s: float) -> None:
    """As if the run had gone on for so long since it was last safe."""
    standing = keeper._standing
    keeper._standing = replace(standing, since=standing.since - by_s)


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


@pytest.mark.usefixtures("one_rank")
def test_save_that_is_slow_but_comes_is_waited_for_before_more_is_unsaved_than_may_be(run):
    keeper = keeper_of(run, Checkpointing(every=1000, max_unsaved="1h"))
    target = run.stage("s1").checkpoint(2)
    target.mkdir(parents=True)
    os.mkfifo(target / "manifest.json")  # the save looks at it, and waits for somebody who writes
    keeper.act(Wishes(save=1), Progress(step=2))
    begin_earlier(keeper, by_s=3600)

    wishes = keeper.wishes(Progress(step=3))
    threading.Timer(0.3, (target / "manifest.json").write_text, [""]).start()
    keeper.act(wishes, Progress(step=3))

    assert wishes == Wishes(give_up=1)
    assert newest_valid(run.stage("s1").checkpoints, digests=True)[1].step == 2


@pytest.mark.usefixtures("one_rank")
def test_final_checkpoint_is_tried_for_as_long_as_the_steps_took_that_hang_on_it(run):
    keeper = keeper_of(run, Checkpointing(every=1000, max_unsaved="8s"))
    in_the_way = refuse(run)
    begin_earlier(keeper, by_s=100)

    threading.Timer(2.5, in_the_way.unlink).start()  # after the first three tries
    keeper.finish(Progress(step=2), final=True)

    assert done_marker(run.stage("s1").checkpoints, digests=True)[1].step == 2


@pytest.mark.usefixtures("one_rank")
def test_final_checkpoint_is_given_up_when_waiting_costs_more_than_making_its_steps_again(run):
    keeper = keeper_of(run, Checkpointing(every=1000, max_unsaved="8s"))
    refuse(run)

    began = time.monotonic()
    with pytest.raises(StoppedError, match="the disk takes no checkpoint; step 0 is safe"):
        keeper.finish(Progress(step=2), final=True)

    assert time.monotonic() - began < 30


@pytest.mark.usefixtures("one_rank")
def test_stop_signal_ends_the_wait_for_the_final_checkpoint(run):
    job = paper_job(run)
    keeper = Keeper(job, SmallEngine(), Checkpointing(max_unsaved="1h"), carried={})
    keeper.resume()
    refuse(run)
    begin_earlier(keeper, by_s=1800)  # so long it would be tried again, twice a minute

    began = time.monotonic()
    job.stop.signal_name = "SIGTERM"
    with pytest.raises(StoppedError):
        keeper.finish(Progress(step=2), final=True)

    assert time.monotonic() - began < 25


@pytest.mark.usefixtures("one_rank")
def test_attempt_that_was_taken_over_is_refused_when_its_save_has_come_to_its_end(run):
    keeper = keeper_of(run)
    run.stage("s1").fence.parent.mkdir(parents=True, exist_ok=True)
    run.stage("s1").fence.write_text("2")

    keeper.act(Wishes(save=1), Progress(step=2))
    ended = wait_for_the_save(keeper, 3)

    with pytest.raises(RefusedError, match="step 2 is not saved") as refused:
        keeper.act(ended, Progress(step=3))
    assert refused.value.fault == "fenced"
    assert list(run.stage("s1").checkpoints.iterdir()) == []


@pytest.mark.usefixtures("one_rank")
def test_what_kills_have_left_is_removed_before_the_first_save(run):
    left = run.stage("s1").checkpoints / ".step-00000005.6.0.fence-0"
    left.mkdir(parents=True)

    keeper_of(run)

    ends_at = time.monotonic() + 120
    while left.exists():
        assert time.monotonic() < ends_at
        time.sleep(0.01)
