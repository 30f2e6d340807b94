"""Foreign programs on the real Slurm, in both layouts: 4 nodes, one preemption, the same ids."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from jobs.contract.manifest import done_marker
from jobs.contract.paths import RunFolder
from launcher.intent import stage_spec
from launcher.pipeline import load_pipeline
from tests.cluster.counting import SlurmStage, Stages
from tests.cluster.slurm_cluster import SlurmCluster
from tests.jobs.test_command_torch import DISTRIBUTED, straight

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

RANKS = """
import json, os, pathlib, signal, sys, time
out, step, asked = pathlib.Path(sys.argv[1]), 0, []
signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
rank = int(os.environ["RANK"])
if "LAUNCHER_RESUME" in os.environ:
    step = json.loads((pathlib.Path(os.environ["LAUNCHER_RESUME"]) / "step.json").read_text())
names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "SLURMD_NODENAME")
(out / f"rank-{rank}.json").write_text(json.dumps([os.environ[name] for name in names]))
end = 100_000 if step == 0 else step + 5
while step < end and not asked:
    time.sleep(0.05)
    step += 1
    print("step", step, flush=True)
if rank == 0:
    (out / f"saved-{step}").mkdir()
    (out / f"saved-{step}" / "step.json").write_text(json.dumps(step))
"""
"""Every rank counts; the first one saves when it is told to end, and at its end."""

TEXT = """\
name: others
cluster: {backend: slurm, partition: preempt, nodes: 4, time_limit: 10m}
stages:
  ranks:
    cluster: {gpus_per_node: 2}
    command:
      argv: [PYTHON, ranks.py, "{checkpoints}"]
      checkpoints: {glob: "{checkpoints}/saved-*", complete_when: step.json, every_s: 0.5}
      progress: {match: 'step (?P<step>[0-9]+)', every_s: 0.5}
      stop: {grace_s: 8}
  nodes:
    cluster: {gpus_per_node: 1}
    command:
      argv:
        - PYTHON
        - -m
        - torch.distributed.run
        - --nnodes={nodes}
        - --node_rank={node_rank}
        - --nproc_per_node={gpus_per_node}
        - --master_addr={master_addr}
        - --master_port={master_port}
        - train.py
        - --out={checkpoints}
      when_resuming: ["--resume={resume}"]
      checkpoints: {glob: "{checkpoints}/epoch-*", every_s: 0.2}
      progress: {match: 'step (?P<step>[0-9]+) of (?P<total>[0-9]+)', every_s: 0.2}
      stop: {grace_s: 8}
"""


@dataclass(frozen=True)
class Both:
    """Two stages that were preempted once, and have ended.

    Attributes:
        ranks: With a process per rank: 4 nodes x 2.
        nodes: With a process per node, under torchrun.
    """

    ranks: SlurmStage
    nodes: SlurmStage


@pytest.fixture(scope="module")
def both(slurm: SlurmCluster, tmp_path_factory) -> Both:
    folder: Path = tmp_path_factory.mktemp("pipeline")
    (folder / "ranks.py").write_text(RANKS)
    (folder / "train.py").write_text(DISTRIBUTED.replace("sleep(0.05)", "sleep(0.2)"))
    (folder / "pipeline.yaml").write_text(TEXT.replace("PYTHON", sys.executable))
    pipeline = load_pipeline(folder / "pipeline.yaml", environ={})
    stages = Stages(slurm, RunFolder(tmp_path_factory.mktemp("run")))

    def submit(name: str) -> SlurmStage:
        stage = pipeline.stage(name)
        spec = stage_spec(pipeline, stage, "r", "")
        of = stage.cluster
        settings = {"nodes": of.nodes, "gpus_per_node": of.gpus_per_node}
        return stages.submit(
            spec, lambda task: task, tasks_per_node=of.tasks, partition=of.partition, **settings
        )

    try:
        jobs = Both(ranks=submit("ranks"), nodes=submit("nodes"))
        jobs.ranks.wait_for_step(limit_s=120)
        slurm.wait(lambda: jobs.nodes.story().saved_step is not None, "torchrun has saved", 120)
        slurm.preempt(1)
        for stage in (jobs.ranks, jobs.nodes):
            slurm.wait_for_state(stage.slurm_id, "COMPLETED", limit_s=180)
    finally:
        stages.cancel()
    return jobs


def test_program_of_each_rank_goes_on_under_the_same_id_where_it_saved(both):
    before, after = both.ranks.story(0), both.ranks.story(1)

    assert both.ranks.kinds_after_signal() == ["signal", "exit", "requeued"]
    assert (before.outcome, before.exit_code) == ("stopped", 75)
    assert before.last_step == before.saved_step == after.first_step > 0
    assert (after.outcome, after.last_step) == ("done", after.first_step + 5)


def test_program_of_each_rank_knows_its_place(both):
    found = [
        json.loads((both.ranks.folder.root / "output" / f"rank-{rank}.json").read_text())
        for rank in range(8)
    ]

    nodes = ("node1", "node1", "node2", "node2", "node3", "node3", "node4", "node4")
    assert found == [
        [str(rank), str(rank % 2), "8", "node1", node] for rank, node in enumerate(nodes)
    ]


def test_torchrun_on_four_nodes_goes_on_under_the_same_id_and_ends_with_the_same_weights(both):
    before, after = both.nodes.story(0), both.nodes.story(1)
    _, manifest = done_marker(both.nodes.folder.checkpoints, digests=True)
    weights = torch.load(f"{manifest.source}/state.pt")["weights"]

    assert (before.world_size, before.outcome, after.outcome) == (4, "stopped", "done")
    assert before.saved_step == after.first_step > 0
    assert (manifest.step, torch.equal(weights, straight(ranks=4))) == (60, True)
