"""Evaluations in the pipeline file."""

from pathlib import Path

from launcher.pipeline import load_pipeline, missing_inputs
from tests.launcher.pipelines import GOOD, faults, load

TASKS = "tasks: [{name: Moving, annotations: data/moving.json}]"
MVBENCH = GOOD.replace(TASKS, "tasks: mvbench\n      root: bench")


def test_mvbench_is_spelled_out_below_its_root(tmp_path):
    pipeline = load(tmp_path, MVBENCH)

    tasks = pipeline.stage("third").evaluate.tasks
    missing = missing_inputs(pipeline)
    assert len(tasks) == 20
    assert tasks[11].media == tmp_path / "bench/video/perception/videos"
    assert (
        f"stages.third.evaluate.tasks.0.annotations: {tmp_path}/bench/json/action_sequence.json "
        "does not exist"
    ) in missing


def test_mvbench_without_a_root_is_refused_at_its_line(tmp_path):
    assert faults(tmp_path, GOOD.replace(TASKS, "tasks: mvbench")) == [
        "p.yaml:24: stages.third.evaluate: tasks: mvbench needs its folder; write "
        "root: data/mvbench"
    ]


def test_mvbench_resolves_to_an_equal_pipeline(tmp_path):
    pipeline = load(tmp_path, MVBENCH)
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(pipeline.resolved_yaml())

    assert load_pipeline(Path(resolved), environ={}) == pipeline
