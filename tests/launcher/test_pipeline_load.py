from dataclasses import replace
from pathlib import Path

import pytest

from jobs.contract.evaluation import Evaluate, Task
from jobs.contract.spec import DataSet, Model, Train
from launcher.errors import UsageError
from launcher.pipeline import (
    NO_JOB,
    ClusterSettings,
    Pipeline,
    Reuse,
    Stage,
    load_pipeline,
    missing_inputs,
    start_from,
)
from tests.launcher.pipelines import GOOD, load

REAL = Path(__file__).parents[2] / "pipeline.yaml"


def test_pipeline_is_read_whole_with_absolute_paths(tmp_path):
    both = ClusterSettings(nodes=2, gpus_per_node=4, time_limit_s=43200)
    train = Train(
        entry="stage2",
        epochs=2,
        lr=1e-4,
        global_batch=64,
        batch_per_gpu=4,
        data=(DataSet(annotations=tmp_path / "data/a.json", media=tmp_path / "data/a"),),
    )
    task = Task(name="Moving", annotations=tmp_path / "data/moving.json")

    assert load(tmp_path) == Pipeline(
        name="demo",
        path=tmp_path / "p.yaml",
        runs=tmp_path / "runs",
        model=Model(preset="tiny"),
        stages=(
            Stage(
                name="first",
                kind="reuse",
                cluster=NO_JOB,
                reuse=Reuse(tmp_path / "weights/first.pth"),
            ),
            Stage(
                name="second",
                kind="train",
                needs=("first",),
                cluster=both,
                train=train,
                expect_epoch_s=5400,
                init_from="first",
            ),
            Stage(
                name="third",
                kind="evaluate",
                needs=("second",),
                cluster=replace(both, nodes=1, mem_gb=0.5),
                evaluate=Evaluate(tasks=(task,)),
                expect_s=1200,
                init_from="second",
            ),
        ),
    )


def test_stage_knows_its_line(tmp_path):
    assert [stage.line for stage in load(tmp_path).stages] == [8, 10, 20]


@pytest.mark.parametrize("text", [GOOD, REAL.read_text(encoding="utf-8")])
def test_resolved_file_loads_to_an_equal_pipeline_elsewhere(tmp_path, text):
    pipeline = load(tmp_path, text)
    frozen = tmp_path / "run" / "pipeline.yaml"
    frozen.parent.mkdir()

    frozen.write_text(pipeline.resolved_yaml(), encoding="utf-8")

    assert load_pipeline(frozen, environ={}) == pipeline


def test_resolved_file_keeps_text_that_looks_like_a_number(tmp_path):
    text = GOOD.replace("  nodes: 2", '  qos: "1e5"\n  account: "012"\n  constraint: "1-2:00:00"')

    pipeline = load(tmp_path, text)

    assert load(tmp_path, pipeline.resolved_yaml()) == pipeline


def test_clock_times_stay_durations_without_quotes(tmp_path):
    pipeline = load(tmp_path, GOOD.replace("12h", "12:30:00"))

    assert pipeline.stage("second").cluster.time_limit_s == 45000


def test_weights_come_from_the_first_parent_that_has_some(tmp_path):
    more = (
        "  last:\n    needs: [third, second]\n    evaluate: {tasks: [{name: a, annotations: a}]}\n"
    )

    assert load(tmp_path, GOOD + more).stage("last").init_from == "second"


def test_environment_says_where_the_runs_lie(tmp_path):
    load(tmp_path)

    pipeline = load_pipeline(tmp_path / "p.yaml", environ={"LAUNCHER_RUNS": "/scratch/runs"})

    assert pipeline.runs == Path("/scratch/runs")


def test_ranks_are_one_per_gpu_or_one_without_gpus():
    four = ClusterSettings(nodes=4, gpus_per_node=8, time_limit_s=60)

    assert (four.tasks, four.world_size) == (8, 32)
    assert replace(four, tasks_per_node=2).world_size == 8
    assert replace(four, gpus_per_node=0).world_size == 4


def test_missing_inputs_are_named_once_each(tmp_path):
    pipeline = load(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.json").touch()

    assert missing_inputs(pipeline) == [
        f"stages.first.reuse: {tmp_path}/weights/first.pth does not exist",
        f"stages.second.train.data.0.media: {tmp_path}/data/a does not exist",
        f"stages.third.evaluate.tasks.0.annotations: {tmp_path}/data/moving.json does not exist",
    ]


def test_start_from_a_stage_reuses_its_parent_and_drops_what_came_before(tmp_path):
    pipeline = load(tmp_path)

    started = start_from(pipeline, "third", tmp_path / "mine.pth")

    reused = Stage(name="second", kind="reuse", cluster=NO_JOB, reuse=Reuse(tmp_path / "mine.pth"))
    assert started.stages == (reused, pipeline.stage("third"))


def test_start_from_a_stage_keeps_what_its_children_need_besides(tmp_path):
    more = (
        "  other: {reuse: other.pth}\n"
        "  last:\n    needs: [third, other]\n    init_from: other\n"
        "    evaluate: {tasks: [{name: a, annotations: a}]}\n"
    )

    started = start_from(load(tmp_path, GOOD + more), "third", Path("/mine.pth"))

    assert [stage.name for stage in started.stages] == ["second", "third", "other", "last"]


@pytest.mark.parametrize(
    ("stage", "fault"),
    [
        ("thrid", "--from thrid: no such stage; did you mean 'third'? known: first, second, third"),
        ("first", "--from first: starts from no other stage's weights; drop --init"),
    ],
)
def test_start_from_a_wrong_stage_is_refused(tmp_path, stage, fault):
    with pytest.raises(UsageError) as caught:
        start_from(load(tmp_path), stage, Path("x"))

    assert caught.value.faults == [fault]


def test_merge_key_brings_in_what_the_mapping_does_not_say_itself(tmp_path):
    merged = GOOD.replace("    train:\n", "    train: &recipe\n").replace(
        "  third:\n",
        "  again:\n    needs: [second]\n    train:\n      <<: *recipe\n      epochs: 7\n  third:\n",
    )

    second, again = (load(tmp_path, merged).stage(name).train for name in ("second", "again"))

    assert second is not None
    assert again == second.model_copy(update={"epochs": 7})
