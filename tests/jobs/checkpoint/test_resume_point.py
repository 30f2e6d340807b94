"""The checkpoint that a run goes on from."""

import time

import pytest
import torch.distributed as dist

from jobs.checkpoint.resume import Look, alone_in, find_resume_point
from jobs.contract.checkpointing import Checkpointing
from jobs.contract.events import read_events
from jobs.contract.manifest import read_manifest
from jobs.contract.paths import RunFolder
from jobs.faults import Fault, fault_of
from jobs.job import RefusedError
from jobs.keeper import Keeper
from tests.jobs.checkpoint.small import SmallEngine
from tests.jobs.checkpoint.stored import save
from tests.jobs.paper import paper_job


@pytest.fixture
def run(tmp_path) -> RunFolder:
    return RunFolder(tmp_path)


@pytest.fixture
def stage(run):
    return run.stage("s1")


@pytest.fixture
def alone(tmp_path_factory):
    """A process group of one rank."""
    meet = tmp_path_factory.mktemp("meet") / "file"
    dist.init_process_group("gloo", init_method=f"file://{meet}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("alone")
def test_newest_checkpoint_that_verifies_is_resumed_from_and_worse_ones_are_named(stage):
    whole, truncated, unmarked = (save(stage, step) for step in (4, 8, 12))
    (truncated / "shard-1").write_text("")
    (unmarked / "manifest.json").unlink()

    found = find_resume_point(stage)

    aside = [path.with_name(f"bad-{path.name}") for path in (unmarked, truncated)]
    size = f"{truncated}/shard-1: 0 bytes, the manifest says 9"
    assert found.newest == (whole, read_manifest(whole))
    assert found.bad == ((aside[0], "no readable manifest"), (aside[1], size))
    assert (aside[1] / "reason.txt").read_text() == f"{size}\n"
    assert sorted(stage.checkpoints.iterdir()) == sorted([whole, *aside])


@pytest.mark.usefixtures("alone")
def test_second_bad_checkpoint_of_a_step_gets_another_name(stage):
    for _ in range(2):
        (save(stage, 8) / "shard-0").write_text("")
        find_resume_point(stage)

    names = [path.name for path in stage.checkpoints.iterdir()]
    assert sorted(names) == ["bad-step-00000008", "bad-step-00000008-2"]


@pytest.mark.usefixtures("alone")
def test_stage_without_checkpoints_has_nothing_to_resume_from(stage):
    found = find_resume_point(stage)

    assert (found.newest, found.bad) == (None, ())


@pytest.mark.usefixtures("alone")
def test_stage_none_of_whose_checkpoints_verifies_is_refused(run, stage):
    for step in (4, 8):
        (save(stage, step) / "shard-0").write_text("")
    job = paper_job(run, told=True)

    for _ in range(2):  # and the next attempt does not start over
        keeper = Keeper(job, SmallEngine(), Checkpointing(), carried={})
        with pytest.raises(RefusedError, match=r"^none of the 2 checkpoints is valid") as refused:
            keeper.resume()

    job.events.close()
    told = read_events(stage.events_file(job.place.attempt))
    paths = [stage.checkpoint(step) for step in (8, 4)]
    assert refused.value.fault == "checkpoints"
    assert [(event.kind, event.fields) for event in told] == [
        (
            "bad_checkpoint",
            {
                "path": str(path.with_name(f"bad-{path.name}")),
                "reason": f"{path}/shard-0: 0 bytes, the manifest says 9",
            },
        )
        for path in paths
    ]


@pytest.mark.usefixtures("alone")
def test_checkpoint_that_cannot_be_read_now_stays_where_it_is(stage):
    newest = [save(stage, step) for step in (4, 8)][-1]
    (newest / "shard-0").unlink()
    (newest / "shard-0").symlink_to("shard-0")  # the kernel gives up: an error, and no damage

    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        find_resume_point(stage)

    assert sorted(path.name for path in stage.checkpoints.iterdir()) == [
        "step-00000004",
        "step-00000008",
    ]


@pytest.mark.usefixtures("alone")
def test_manifest_that_cannot_be_read_now_condemns_no_checkpoint(stage):
    manifest = save(stage, 4) / "manifest.json"
    manifest.unlink()
    manifest.symlink_to("manifest.json")

    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        find_resume_point(stage)

    assert [path.name for path in stage.checkpoints.iterdir()] == ["step-00000004"]


def test_file_that_one_node_reads_otherwise_than_the_first_is_that_nodes_fault():
    seen = Look({"shard-1": "shard-1: the content is not what was saved"})

    assert alone_in(seen, {"shard-1": "shard-1: the content is not what was saved"}) is None
    error = alone_in(seen, {})
    assert fault_of(error) == Fault("hardware")
    assert "another node reads it as it was saved" in str(error)


def told_of(run, step):
    """An attempt before this one told of a checkpoint."""
    job = paper_job(run, attempt="6.0", told=True)
    job.tell("checkpoint", step=step, path="gone", save_s=1.0, final=False)
    job.events.close()


def resumed(run):
    return Keeper(paper_job(run), SmallEngine(), Checkpointing(), carried={}).resume()


@pytest.mark.usefixtures("alone")
def test_stage_whose_checkpoints_have_vanished_is_refused_until_that_is_meant(run, stage):
    told_of(run, 8)

    with pytest.raises(RefusedError, match="no checkpoint, but step 8 was saved") as refused:
        resumed(run)
    stage.checkpoints.mkdir()
    time.sleep(0.05)  # files have the time of the kernel's last tick
    (stage.checkpoints / "start-over").touch()

    assert refused.value.fault == "checkpoints"
    assert resumed(run).step == 0


@pytest.mark.usefixtures("alone")
def test_wish_to_start_over_does_not_outlive_a_checkpoint_that_came_after_it(run, stage):
    stage.checkpoints.mkdir(parents=True)
    (stage.checkpoints / "start-over").touch()
    time.sleep(0.05)
    told_of(run, 8)

    with pytest.raises(RefusedError, match="no checkpoint, but step 8 was saved"):
        resumed(run)


@pytest.mark.usefixtures("alone")
def test_stage_none_of_whose_checkpoints_verifies_starts_over_where_that_is_meant(run, stage):
    (save(stage, 8) / "shard-0").write_text("")
    (stage.checkpoints / "start-over").touch()

    assert resumed(run).step == 0


@pytest.mark.usefixtures("alone")
def test_stage_whose_only_checkpoint_the_launcher_set_aside_starts_at_step_0(run, stage):
    told_of(run, 8)
    time.sleep(0.05)  # files have the time of the kernel's last tick
    (stage.root / "set-aside" / "step-00000008.2").mkdir(parents=True)

    assert resumed(run).step == 0
