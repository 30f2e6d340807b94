"""The demo on the real Slurm: 4 nodes of 8 GPUs."""

import json
from itertools import pairwise
from typing import Any

import pytest

from tests.cluster.slurm_cluster import SlurmCluster
from tests.e2e.conftest import SHORT, Program
from tests.e2e.readme import slurm_options

JOBS = ("stage2", "stage3", "evaluation")

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.usefixtures("demo_data")]


def test_demo_on_4_nodes_runs_dependent_jobs_in_order(slurm: SlurmCluster, program: Program):
    done = program("submit", "pipeline.demo.yaml", *slurm_options(), *SHORT)
    assert done.returncode == 0, done.stderr
    ids = {row["stage"]: row["slurm_id"] for row in program.status()}
    assert ids["stage1"] is None
    dependency = slurm.run("squeue", "-h", "-j", ids["evaluation"], "-o", "%E")
    assert f"afterok:{ids['stage3']}" in dependency

    ended = program("watch", "--every", "2")

    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = {row["stage"]: row for row in program.status()}
    assert {name: row["state"] for name, row in rows.items()} == {
        "stage1": "reused",
        "stage2": "done",
        "stage3": "done",
        "evaluation": "done",
    }
    assert all(row["steps_lost"] == 0 for row in rows.values())
    # 32 GPUs were held for as long as the job ran.
    stage2 = rows["stage2"]
    assert stage2["gpu_hours"] == pytest.approx(stage2["wall_clock_s"] * 32 / 3600, abs=1e-6)
    times = [_start_and_end(slurm, rows[name]["slurm_id"]) for name in JOBS]
    assert all(end <= start for (_, end), (start, _) in pairwise(times))


def _start_and_end(slurm: SlurmCluster, slurm_id: str) -> list[int]:
    """When Slurm says that a job ran, in Unix seconds."""
    columns = ("-o", "Start,End")
    shown = slurm.run("env", "SLURM_TIME_FORMAT=%s", "sacct", "-nXP", "-j", slurm_id, *columns)
    return [int(moment) for moment in shown.strip().split("|")]


@pytest.mark.alone  # its ranks take every core
def test_all_32_ranks_train_together(slurm: SlurmCluster, program: Program):
    one_rank_a_gpu = (
        *("--set", "stages.stage2.cluster.tasks_per_node=8"),
        *("--set", "stages.stage2.train.max_steps=2"),
        *("--set", "stages.stage2.train.workers=0"),
    )
    submitted = program("submit", "pipeline.demo.yaml", *slurm_options(), *one_rank_a_gpu)
    assert submitted.returncode == 0, submitted.stderr

    def stage2() -> dict[str, Any]:
        return next(row for row in program.status() if row["stage"] == "stage2")

    ids = {row["stage"]: row["slurm_id"] for row in program.status()}
    # Asked seldom: the ranks need the cores.
    ended = ("COMPLETED", "FAILED")
    slurm.wait(lambda: slurm.state(ids["stage2"]) in ended, "the 32 ranks end", 400, every_s=2)

    slurm.run("scancel", *(ids[child] for child in JOBS[1:]))
    slurm.wait(lambda: stage2()["state"] in ("done", "failed"), "the launcher knows the end")
    assert (stage2()["state"], stage2()["step"], stage2()["steps_lost"]) == ("done", 2, 0)
    manifest = next(program.runs.glob("*/stages/stage2/checkpoints/*-final/manifest.json"))
    assert json.loads(manifest.read_text())["world_size"] == 32
