"""The checkpoint that a run goes on from."""

import pytest
import torch.distributed as dist

from jobs.checkpoint.resume import find_resume_point
from jobs.contract.checkpointing import Checkpointing
from jobs.contract.events import read_events
from jobs.contract.manifest import read_manifest
from jobs.contract.paths import RunFolder
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
