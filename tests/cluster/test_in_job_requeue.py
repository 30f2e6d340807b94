"""What a job does on the real Slurm when it gets a signal: save, tell, put itself back, end.

One preemption hits four jobs, each on a node of its own; a fifth nears its time limit meanwhile.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from jobs.contract.paths import RunFolder
from jobs.data.synthetic import make_set
from jobs.data.tokenizer import build_tokenizer
from tests.cluster.counting import Counting, SlurmStage, Stages
from tests.cluster.slurm_cluster import SlurmCluster
from tests.jobs.running import Material

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@dataclass(frozen=True)
class Preempted:
    """Jobs that were preempted with 10 s of grace, and what became of them.

    Attributes:
        requeue: In a partition that requeues.
        cancel: In one that cancels.
        starting: In one that cancels, before its first step.
        without_slurm: In one that cancels, without Slurm's programs on its PATH.
        near_limit: Not preempted, but near its time limit.
    """

    requeue: SlurmStage
    cancel: SlurmStage
    starting: SlurmStage
    without_slurm: SlurmStage
    near_limit: SlurmStage


@pytest.fixture(scope="module")
def preempted(slurm: SlurmCluster, tmp_path_factory) -> Preempted:
    stages = Stages(slurm, RunFolder(tmp_path_factory.mktemp("run")))
    empty = str(tmp_path_factory.mktemp("empty"))
    limits = {"time_limit_s": 60, "signal_lead_s": 30}
    jobs = Preempted(
        near_limit=stages.count("near_limit", partition="high", gpus_per_node=0, **limits),
        requeue=stages.count("requeue", partition="preempt"),
        cancel=stages.count("cancel", partition="preemptcancel"),
        starting=stages.count(
            "starting", make=partial(Counting, start_s=1000), partition="preemptcancel"
        ),
        without_slurm=stages.count(
            "without_slurm", make=partial(Counting, path=empty), partition="preemptcancel"
        ),
    )
    try:
        for stage in (jobs.requeue, jobs.cancel, jobs.without_slurm):
            stage.wait_for_step()
        slurm.wait(lambda: bool(jobs.starting.events()), "the fourth job has begun")
        slurm.preempt(1)
        for stage in (jobs.requeue, jobs.cancel, jobs.near_limit):
            stage.wait_for_step(restart=1)
        slurm.wait(lambda: bool(jobs.starting.events(1)), "the fourth job has begun again")
        slurm.wait_for_state(jobs.without_slurm.slurm_id, "FAILED", "PREEMPTED")
    finally:
        stages.cancel()
    return jobs


@pytest.mark.parametrize("partition", ["requeue", "cancel"])
def test_preempted_job_goes_on_under_the_same_id_where_it_saved(preempted, partition):
    stage = getattr(preempted, partition)
    before, after = stage.story(0), stage.story(1)

    assert stage.kinds_after_signal() == ["signal", "exit", "requeued"]
    assert (before.outcome, before.exit_code, before.requeue_error) == ("stopped", 75, None)
    assert before.last_step == before.saved_step == after.first_step > 0
    assert stage.restarts() == "1"


def test_job_that_is_told_of_its_time_limit_goes_on_under_the_same_id(preempted):
    before, after = preempted.near_limit.story(0), preempted.near_limit.story(1)

    (signal,) = [event for event in preempted.near_limit.events() if event.kind == "signal"]
    assert signal.fields == {"name": "SIGUSR2"}
    assert before.last_step == before.saved_step == after.first_step > 0


def test_job_that_is_preempted_before_its_first_step_leaves_at_once(preempted):
    stage = preempted.starting
    begin, signal, end, requeued = stage.events()

    assert [event.kind for event in (signal, end, requeued)] == ["signal", "exit", "requeued"]
    assert (end.fields["outcome"], "step" in end.fields) == ("stopped", False)
    assert requeued.at - signal.at < 5
    assert begin.at < signal.at
    assert stage.restarts() == "1"


def test_job_without_slurms_programs_says_so_and_leaves_it_to_the_launcher(preempted):
    stage = preempted.without_slurm
    story = stage.story()

    words = "squeue: No such file or directory"
    assert (story.outcome, story.exit_code, story.requeue_error) == ("stopped", 75, words)
    assert f"cannot put itself back into the queue: {words}" in stage.log()
    assert stage.restarts() == "0"


@pytest.fixture
def stages(slurm: SlurmCluster, tmp_path: Path) -> Iterator[Stages]:
    made = Stages(slurm, RunFolder(tmp_path))
    try:
        yield made
    finally:
        made.cancel()


def test_cancelled_job_saves_and_stays_cancelled(slurm, stages):
    stage = stages.count("cancelled")
    stage.wait_for_step()

    slurm.run("scancel", stage.slurm_id)
    stage.wait_for_end()
    slurm.wait_for_state(stage.slurm_id, "CANCELLED")

    story = stage.story()
    assert (story.outcome, story.requeue_word) == ("stopped", "COMPLETING")
    assert story.last_step == story.saved_step > 0
    assert stage.restarts() == "0"


def test_job_that_slurm_does_not_requeue_tells_its_words(slurm, stages):
    stage = stages.count("forbidden", sbatch={"requeue": False, "no-requeue": True})
    stage.wait_for_step()

    slurm.run("scancel", "--signal=TERM", stage.slurm_id)
    stage.wait_for_end()

    words = "Requested operation is presently disabled"
    assert words in stage.story().requeue_error
    slurm.wait_for_state(stage.slurm_id, "FAILED")


def training(folder: Path) -> Material:
    """A few clips and a tokenizer."""
    make_set(folder / "clips", train=48, test=2, seed=3)
    build_tokenizer().save_pretrained(folder / "tokenizer")
    return Material(folder / "clips", folder / "tokenizer")


@pytest.mark.alone  # training has 10 s of grace to save in
def test_training_on_two_nodes_loses_no_step_when_it_is_preempted(slurm, stages, tmp_path):
    material = training(tmp_path)
    recipe = material.train("stage1", "train_pairs.json", epochs=1000)
    spec = material.spec("training", nodes=2, **recipe)
    stage = stages.submit(spec, lambda task: task, nodes=2, partition="preemptcancel")
    stage.wait_for_step(3, limit_s=120)

    slurm.preempt(1)
    stage.wait_for_step(1, restart=1, limit_s=120)

    before, after = stage.story(0), stage.story(1)
    steps = [event.fields["step"] for event in stage.events(1) if event.kind == "step"]
    assert (before.outcome, before.exit_code, len(set(before.hosts))) == ("stopped", 75, 2)
    assert before.last_step == before.saved_step == after.first_step >= 3
    assert steps[0] == before.saved_step + 1
    assert stage.kinds_after_signal()[-2:] == ["exit", "requeued"]
    assert stage.restarts() == "1"
    assert stage.folder.log_file(stage.attempt(1), rank=1).exists()
