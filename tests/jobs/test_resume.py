"""A run that was stopped or killed goes on as if nothing had happened, bit for bit."""

import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobs.contract.manifest import checkpoint_folders, done_marker, faults, read_manifest
from jobs.contract.paths import RunFolder
from tests.jobs.running import Attempt, run_stage, started

ELASTIC_RTOL = 1e-5
"""After a few steps that sum in another order."""
pytestmark = pytest.mark.slow


def weights_digest(run: RunFolder, stage: str = "s1") -> str:
    """Digest of the stage's final weights."""
    _, manifest = done_marker(run.stage(stage).checkpoints, digests=True)
    (digest,) = [file.sha256 for file in manifest.files if file.name == manifest.weights]
    return digest


def losses(*attempts: Attempt) -> dict[int, str]:
    """Rank 0's loss at each step, exactly; a step that was repeated counts as repeated."""
    told = [event.fields for attempt in attempts for event in attempt.events("step")]
    return {fields["step"]: float(fields["loss"]).hex() for fields in told}


def step_of(folder: Path) -> int:
    """The step of a checkpoint folder."""
    return int(folder.name.removeprefix("step-").removesuffix("-final"))


@dataclass(frozen=True)
class Disturbed:
    """The first stage of the chain again: stopped, resumed and killed, resumed to its end."""

    run: RunFolder
    stopped: Attempt
    killed: Attempt
    resumed: Attempt
    after_stop: list[Path]
    after_kill: list[Path]
    copy_of_stopped: Path


@pytest.fixture(scope="module")
def disturbed(chain, tmp_path_factory) -> Disturbed:
    spec, run = chain.specs["s1"], RunFolder(tmp_path_factory.mktemp("disturbed"))
    checkpoints = run.stage("s1").checkpoints
    with started(run, spec) as stopped:
        stopped.wait_for("step", 2)
        stopped.send(signal.SIGTERM)
        stopped.wait()
    after_stop = checkpoint_folders(checkpoints)
    copy = Path(shutil.copytree(checkpoints, run.root / "copy"))
    with started(run, spec) as killed:
        killed.wait_for("checkpoint", 8)
        killed.send(signal.SIGKILL)
        killed.wait()
    after_kill = checkpoint_folders(checkpoints)
    with (after_kill[0] / "state-00000-of-00002.safetensors").open("r+b") as file:
        file.truncate(1000)
    resumed = run_stage(run, spec)
    return Disturbed(run, stopped, killed, resumed, after_stop, after_kill, copy)


def test_stopped_attempt_saves_the_step_it_stops_at(disturbed):
    story = disturbed.stopped.story
    newest = disturbed.after_stop[0]

    assert disturbed.stopped.codes == [75, 75]
    assert (story.outcome, story.exit_code, story.last_step) == ("stopped", 75, story.saved_step)
    assert step_of(newest) == story.saved_step < 18
    assert [event.fields for event in disturbed.stopped.events("signal")] == [{"name": "SIGTERM"}]


def test_stopped_attempt_leaves_a_valid_checkpoint(disturbed):
    newest = disturbed.copy_of_stopped / disturbed.after_stop[0].name

    assert faults(newest, read_manifest(newest), digests=True) == []


def test_next_attempt_begins_at_the_step_that_the_stop_saved(disturbed):
    assert disturbed.killed.story.first_step == disturbed.stopped.story.saved_step
    assert disturbed.killed.events("step")[0].fields["step"] == step_of(disturbed.after_stop[0]) + 1


def test_kill_leaves_only_whole_checkpoints(disturbed):
    assert (disturbed.killed.codes, disturbed.killed.story.outcome) == ([-9, -9], None)
    assert step_of(disturbed.after_kill[0]) >= 8


def test_attempt_after_a_truncated_checkpoint_begins_at_the_one_before(disturbed):
    newest, before, *_ = disturbed.after_kill

    assert step_of(before) < step_of(newest)
    assert disturbed.resumed.story.first_step == step_of(before)
    (told,) = disturbed.resumed.events("bad_checkpoint")
    assert told.fields["path"] == str(newest.with_name(f"bad-{newest.name}"))
    assert (
        "state-00000-of-00002.safetensors: 1000 bytes, the manifest says" in told.fields["reason"]
    )


def test_interrupted_run_has_the_losses_of_an_undisturbed_one(disturbed, chain):
    attempts = (disturbed.stopped, disturbed.killed, disturbed.resumed)

    assert losses(*attempts) == losses(chain.attempts["s1"])


def test_interrupted_run_ends_with_the_weights_of_an_undisturbed_one(disturbed, chain):
    assert disturbed.resumed.codes == [0, 0]
    assert weights_digest(disturbed.run) == weights_digest(chain.run)


def test_stage_none_of_whose_checkpoints_is_whole_does_not_start_over(disturbed, chain, run):
    shutil.copytree(disturbed.copy_of_stopped, run.stage("s1").checkpoints)
    for folder in checkpoint_folders(run.stage("s1").checkpoints):
        (folder / "state-00000-of-00002.safetensors").unlink()

    attempt = run_stage(run, chain.specs["s1"])

    assert (attempt.codes, attempt.story.fault, attempt.story.first_step) == (
        [93, 93],
        "checkpoints",
        None,
    )


def test_stage_that_is_done_does_nothing_when_it_runs_again(chain, run):
    shutil.copytree(chain.run.stage("s1").checkpoints, run.stage("s1").checkpoints)
    final, _ = done_marker(run.stage("s1").checkpoints, digests=False)
    before = (final / "manifest.json").stat()

    attempt = run_stage(run, chain.specs["s1"])

    assert (attempt.codes, attempt.events("checkpoint")) == ([0, 0], [])
    assert (final / "manifest.json").stat() == before


@dataclass(frozen=True)
class ZeroStage0:
    """Without ZeRO: an undisturbed run, and one stopped while loader workers ran."""

    straight: RunFolder
    run: RunFolder
    stopped: Attempt
    resumed: Attempt


def process_tree(pid: int) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


@pytest.fixture(scope="module")
def zero_stage_0(material, tmp_path_factory) -> ZeroStage0:
    def spec(workers):
        recipe = material.train(
            "stage1", "train_pairs.json", epochs=2, zero_stage=0, workers=workers
        )
        return material.spec("s1", **recipe)

    straight, run = (RunFolder(tmp_path_factory.mktemp(name)) for name in ("straight", "stopped"))
    run_stage(straight, spec(workers=0))
    with started(run, spec(workers=1)) as stopped:
        stopped.wait_for("step", 2)
        # Slurm signals every process of a job that it preempts.
        for rank in range(2):
            for pid in process_tree(stopped.pid(rank)):
                os.kill(pid, signal.SIGTERM)
        stopped.wait()
    resumed = run_stage(run, spec(workers=0))
    return ZeroStage0(straight, run, stopped, resumed)


def test_stop_reaches_the_disk_although_the_loaders_workers_get_the_signal_too(zero_stage_0):
    assert len(zero_stage_0.stopped.events("step")) < 12
    assert (zero_stage_0.stopped.codes, zero_stage_0.stopped.story.outcome) == ([75, 75], "stopped")


def test_run_without_zero_ends_with_the_weights_of_an_undisturbed_one(zero_stage_0):
    assert zero_stage_0.resumed.codes == [0, 0]
    assert weights_digest(zero_stage_0.run) == weights_digest(zero_stage_0.straight)


@dataclass(frozen=True)
class FewerRanks:
    """Stage 2 on two ranks, and from its middle on one of them."""

    whole: Attempt
    half: Attempt


@pytest.fixture(scope="module")
def fewer_ranks(material, chain, tmp_path_factory) -> FewerRanks:
    recipe = material.train(
        "stage2", "train_captions.json", max_steps=6, checkpoint={"every": 3, "keep": 2}
    )
    spec = material.spec("s2", parents=("s1",), init_from="s1", **recipe)
    runs = [RunFolder(tmp_path_factory.mktemp(name)) for name in ("two", "one")]
    for run in runs:
        shutil.copytree(chain.run.stage("s1").root, run.stage("s1").root)
    whole = run_stage(runs[0], spec)
    middle = runs[0].stage("s2").checkpoint(3)
    shutil.copytree(middle, runs[1].stage("s2").checkpoints / middle.name)
    return FewerRanks(whole, run_stage(runs[1], spec, ranks=1, full_world=2))


def test_checkpoint_goes_on_on_fewer_ranks_with_the_same_losses(fewer_ranks):
    wanted, found = (losses(attempt) for attempt in (fewer_ranks.whole, fewer_ranks.half))

    assert (fewer_ranks.half.codes, fewer_ranks.half.story.first_step) == ([0], 3)
    assert [float.fromhex(found[step]) for step in (4, 5, 6)] == pytest.approx(
        [float.fromhex(wanted[step]) for step in (4, 5, 6)], rel=ELASTIC_RTOL
    )
