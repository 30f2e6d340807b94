from pathlib import Path

from launcher.pipeline import load_pipeline
from launcher.plan import Plan, PlannedStage, make_plan
from launcher.show.plan import plan_row, total_line
from tests.launcher.pipelines import GOOD, load

REAL = Path(__file__).parents[2] / "pipeline.yaml"


def test_plan_of_the_real_pipeline_is_18_hours_and_576_gpu_hours():
    pipeline = load_pipeline(REAL, environ={})
    stage1, stage2, stage3, mvbench = pipeline.stages

    assert make_plan(pipeline) == Plan(
        stages=(
            PlannedStage(stage1, (), (), wall_s=0, gpu_hours=0, end_s=0),
            PlannedStage(stage2, ("stage1",), (), wall_s=21600, gpu_hours=192, end_s=21600),
            PlannedStage(
                stage3, ("stage2",), ("stage2",), wall_s=43200, gpu_hours=384, end_s=64800
            ),
            PlannedStage(
                mvbench, ("stage3",), ("stage3",), wall_s=None, gpu_hours=None, end_s=64800
            ),
        ),
        wall_s=64800,
        gpu_hours=576,
        unknown=("mvbench",),
    )


def test_plan_of_the_real_pipeline_is_shown_whole():
    plan = make_plan(load_pipeline(REAL, environ={}))

    assert [plan_row(planned) for planned in plan.stages] == [
        ("stage1", "reused", "-", "-", "-", "-", "-"),
        ("stage2", "stage2", "4 x 8", "stage1", "1", "6 h", "192"),
        ("stage3", "stage3", "4 x 8", "stage2", "3", "12 h", "384"),
        ("mvbench", "evaluate", "1 x 8", "stage3", "-", "-", "-"),
    ]
    assert total_line(plan) == "in all 18 h and 576 GPU-h, without mvbench (no expect)"


def test_stages_side_by_side_count_once_in_time_and_twice_in_gpu_hours(tmp_path):
    text = GOOD + (
        "  aside:\n    needs: [first]\n    expect: {total: 2h}\n"
        "    evaluate: {tasks: [{name: a, annotations: a}]}\n"
    )

    plan = make_plan(load(tmp_path, text))

    assert total_line(plan) == "in all 3.33 h and 41.33 GPU-h"


def test_stage_below_an_hour_is_shown_in_minutes(tmp_path):
    third = make_plan(load(tmp_path)).stages[2]

    assert plan_row(third) == ("third", "evaluate", "1 x 4", "second", "-", "20 min", "1.33")
