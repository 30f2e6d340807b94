"""`nodes: 2-4`: what the pipeline file, the plan, the job, the ledger and the views make of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from db.passes import quarantine
from db.queries import events_of
from db.schema import StageRun
from jobs.contract.paths import RunFolder
from launcher.acting import acting
from launcher.cluster import LocalCluster, SlurmCluster
from launcher.cluster.base import JobRequest
from launcher.errors import UsageError
from launcher.explain import explain
from launcher.intent import job_request, stage_spec
from launcher.pipeline import ClusterSettings, Pipeline, load_pipeline
from launcher.plan import Share, make_plan
from launcher.reconcile.act import Actor
from launcher.show.plan import plan_json, plan_row, share_row
from launcher.show.status import status_table
from launcher.show.submit import jobs_table
from launcher.submit import NewRun, prepare
from launcher.view import nodes_in_words, view_stages
from tests.launcher.cluster.programs import only_programs, put_program
from tests.launcher.paper import Paper
from tests.launcher.pipelines import GOOD, faults, load
from tests.launcher.steered import World
from tests.launcher.worlds import clock_of, make_pipeline, open_ledger

RANGE = GOOD.replace("nodes: 2", "nodes: 2-4").replace("gpus_per_node: 4", "gpus_per_node: 8")
TEXT = RANGE.replace("global_batch: 64", "global_batch: 128")
"""`second` trains 128 samples a step in micro-batches of 4; `third` has one node."""


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return load(tmp_path, TEXT)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A submitted run whose stages take two to four nodes of 8 GPUs."""
    return World(tmp_path, ["cluster.nodes=2-4", "cluster.gpus_per_node=8"])


def test_range_is_read_from_the_file_and_from_the_command_line(tmp_path: Path) -> None:
    settings = load(tmp_path, GOOD, ["stages.second.cluster.nodes=2-4"]).stage("second").cluster

    assert (settings.min_nodes, settings.max_nodes, settings.is_elastic) == (2, 4, True)
    assert settings.world_size == 16  # with all of its nodes


def test_stage_1_takes_no_range(tmp_path: Path) -> None:
    options = ["stages.second.cluster.nodes=2-4", "stages.second.train.entry=stage1"]

    (line,) = faults(tmp_path, GOOD, options)

    assert line.endswith("fewer would train something else; write nodes: 4")


@pytest.mark.parametrize("nodes", ["3", "3-3"])
def test_single_number_is_no_range(tmp_path: Path, nodes: str) -> None:
    settings = load(tmp_path, GOOD, [f"stages.third.cluster.nodes={nodes}"]).stages[2].cluster

    assert (settings.nodes, settings.min_nodes, settings.is_elastic) == (3, 3, False)


def test_stages_own_number_replaces_the_whole_range(pipeline: Pipeline) -> None:
    third = pipeline.stage("third").cluster

    assert (third.min_nodes, third.max_nodes) == (1, 1)


def test_resolved_file_keeps_the_range(tmp_path: Path, pipeline: Pipeline) -> None:
    frozen = tmp_path / "frozen.yaml"
    frozen.write_text(pipeline.resolved_yaml())

    assert load_pipeline(frozen, environ={}) == pipeline


def test_job_is_told_the_most_and_the_fewest(pipeline: Pipeline) -> None:
    specs = [stage_spec(pipeline, pipeline.stage(name), "r", "") for name in ("second", "third")]

    assert [(s.nodes, s.full_world) for s in specs] == [(4, 32), (1, 8)]


def test_plan_tells_rounds_idle_ranks_and_hours_of_each_number_of_nodes(
    pipeline: Pipeline,
) -> None:
    _, second, third = make_plan(pipeline).stages

    hours = 3 * 3600.0
    assert second.shares == (
        Share(4, 32, rounds=1, idle=0.0, wall_s=hours, gpu_hours=96),
        Share(3, 24, rounds=2, idle=pytest.approx(1 / 3), wall_s=2 * hours, gpu_hours=144),
        Share(2, 16, rounds=2, idle=0.0, wall_s=2 * hours, gpu_hours=96),
    )
    assert third.shares == ()
    assert plan_row(second)[2] == "2-4 x 8"
    assert share_row(second.shares[1]) == ("3", "24", "2", "33%", "6 h", "144")


def test_plan_of_a_range_counts_the_most_nodes_in_its_sum(pipeline: Pipeline) -> None:
    plan = make_plan(pipeline)
    told = plan_json(pipeline, plan, [])["stages"][1]

    assert (told["nodes"], told["min_nodes"], told["ranks"]) == (4, 2, 32)
    assert told["gpu_hours"] == told["shares"][0]["gpu_hours"] == 96


def test_evaluation_on_fewer_nodes_takes_longer_by_as_much(tmp_path: Path) -> None:
    third = make_plan(load(tmp_path, TEXT, ["stages.third.cluster.nodes=1-2"])).stages[2]

    assert third.shares == (
        Share(2, 16, rounds=None, idle=None, wall_s=1200, gpu_hours=pytest.approx(16 / 3)),
        Share(1, 8, rounds=None, idle=None, wall_s=2400, gpu_hours=pytest.approx(16 / 3)),
    )


def test_nothing_is_foretold_of_another_program_on_fewer_nodes(tmp_path: Path) -> None:
    text = (
        "name: own\ncluster: {nodes: 1-2, gpus_per_node: 8, time_limit: 1h}\n"
        "stages: {own: {expect: {total: 1h}, command: [train.sh]}}\n"
    )

    (own,) = make_plan(load(tmp_path, text)).stages

    assert [share_row(share) for share in own.shares] == [
        ("2", "16", "-", "-", "-", "-"),
        ("1", "8", "-", "-", "-", "-"),
    ]
    assert (own.wall_s, own.gpu_hours) == (3600, 16)


def request(pipeline: Pipeline, stage: str, **changed: Any) -> JobRequest:
    planned = pipeline.stage(stage)
    planned = replace(planned, cluster=replace(planned.cluster, **changed))
    return job_request(RunFolder(pipeline.runs), planned, token="t1", fence=1)


def test_script_asks_for_the_range_and_leaves_the_count_of_ranks_to_the_start(
    pipeline: Pipeline,
) -> None:
    script = SlurmCluster().script(request(pipeline, "second", cpus_per_task=3))

    assert "#SBATCH --nodes=2-4\n" in script
    assert "#SBATCH --mincpus=24\n" in script
    assert "--ntasks-per-node" not in script
    count = "export SLURM_NTASKS_PER_NODE=8 SLURM_NTASKS=$((SLURM_JOB_NUM_NODES * 8))\n"
    assert script.index(count) < script.index("\nsrun ")


def test_script_of_a_fixed_number_counts_its_ranks_at_once(pipeline: Pipeline) -> None:
    script = SlurmCluster().script(request(pipeline, "third"))

    assert "#SBATCH --nodes=1\n" in script
    assert "#SBATCH --ntasks-per-node=8\n" in script
    assert "SLURM_NTASKS" not in script
    assert "mincpus" not in script


def test_job_of_a_range_is_handed_over_through_submitit(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_programs(monkeypatch, tmp_path / "bin")
    put_program(tmp_path / "bin", "sbatch", "echo Submitted batch job 17")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")

    assert SlurmCluster().submit(request(pipeline, "second")) == "17"


def test_this_machine_takes_a_range_that_begins_with_one_node(tmp_path: Path) -> None:
    prepare(make_pipeline(tmp_path, ["cluster.nodes=1-4"]), LocalCluster())

    with pytest.raises(UsageError, match=r"cluster\.nodes is 2-4, but the local backend"):
        prepare(make_pipeline(tmp_path, ["cluster.nodes=2-4"]), LocalCluster())


def running(world: World, num_nodes: int | None, *, restart: int = 0) -> None:
    """The queue shows the job of `second` on so many nodes since 1000 s ago."""
    started = {"started_at": world.at - 1000.0, "nodes": "node[1-9]", "num_nodes": num_nodes}
    row = world.row("second", "RUNNING", restart=restart, **started)
    world.paper.queue = [row, *[each for each in world.paper.queue if each.slurm_id != "101"]]


def second(world: World) -> StageRun:
    return world.rows["second"]


def test_ledger_keeps_what_was_asked_for(world: World) -> None:
    assert (second(world).min_nodes, second(world).nodes) == (2, 4)


def test_gpu_time_is_that_of_the_nodes_that_came(world: World) -> None:
    running(world, 3)

    world.passing().run()

    [attempt] = second(world).attempts
    assert (attempt.num_nodes, attempt.wall_clock_s) == (3, 1000.0)
    assert attempt.gpu_s == 1000.0 * 3 * 8


def test_nodes_that_came_are_remembered_while_slurm_does_not_say(world: World) -> None:
    running(world, 3)
    world.passing().run()
    running(world, None)  # it is ending

    world.passing().run()

    [attempt] = second(world).attempts
    assert (attempt.num_nodes, attempt.gpu_s) == (3, 1000.0 * 3 * 8)


def test_attempt_on_another_number_of_nodes_is_an_event_once(world: World) -> None:
    for restart, nodes in enumerate((4, 3, 3, 4)):
        running(world, nodes, restart=restart)
        world.pass_once()
        world.pass_once()

    with world.ledger.read() as session:
        told = [e.text for e in events_of(session, world.run.id) if e.kind == "resized"]
    assert told == [
        "second: job 101 goes on with 3 of 2-4 nodes, before 4",
        "second: job 101 goes on with 4 of 2-4 nodes, before 3",
    ]


def test_status_has_a_column_for_a_range_only(tmp_path: Path, world: World) -> None:
    running(world, 3)
    world.passing().run()
    (tmp_path / "fixed").mkdir()
    fixed = World(tmp_path / "fixed")

    columns = [
        {column.header: list(column.cells) for column in status_table(views).columns}
        for views in (view_stages(list(each.rows.values()), {}) for each in (world, fixed))
    ]

    assert columns[0]["nodes"] == ["-", "3 of 2-4", "2-4", "2-4"]
    assert "nodes" not in columns[1]


def test_words_for_nodes_are_as_short_as_they_can_be() -> None:
    told = [nodes_in_words(*each) for each in ((None, 4, 4), (4, 4, 4), (None, 2, 4), (3, 2, 4))]

    assert told == ["4", "4", "2-4", "3 of 2-4"]


def test_why_tells_on_how_many_nodes_the_job_runs(world: World) -> None:
    running(world, 3)
    world.passing().run()
    judged = world.passing().preview(world.run.id).judged[world.run.id]
    [chosen] = [each for each in judged if each.facts.stage.stage == "second"]

    told = explain(chosen, judged, world.paper, now=world.at, no_answer="")

    assert told["slurm"] == "job 101 runs (RUNNING) on 3 of 2-4 nodes"


def test_submit_shows_the_range_and_its_ranks(pipeline: Pipeline) -> None:
    run = NewRun("r", RunFolder(pipeline.runs / "r"), {"second": "t1", "third": "t2"})

    cells = {column.header: list(column.cells) for column in jobs_table(pipeline, run).columns}

    assert cells["nodes x GPUs"] == ["-", "2-4 x 8", "1 x 8"]
    assert cells["ranks"] == ["-", "16-32", "8"]


@pytest.mark.parametrize(("nodes", "excluded"), [("2-4", ["node4"]), ("4", [])])
def test_job_keeps_away_from_a_bad_node_as_long_as_the_fewest_are_left(
    tmp_path: Path, nodes: str, excluded: list[str]
) -> None:
    pipeline = make_pipeline(tmp_path, [f"cluster.nodes={nodes}"])  # of the 4 that Paper has
    with acting(open_ledger(pipeline), clock_of(1000.0)) as lease:
        with lease.write() as session:
            said = {"reason": "hang", "evidence": "rank 3", "at": 900.0, "until": 9000.0}
            quarantine(session, "slurm", "node4", **said)
        settings: ClusterSettings = pipeline.stage("second").cluster
        actor = Actor(lease, Paper(), load_pipeline)

        kept_away = actor.spared_nodes(settings)

    assert list(kept_away) == excluded
