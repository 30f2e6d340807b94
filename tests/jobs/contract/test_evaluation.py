"""What an evaluation stage is told."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from jobs.contract.evaluation import Evaluate

BOUNDED = {
    "Action Sequence",
    "Action Prediction",
    "Object Interaction",
    "Action Localization",
    "Episodic Reasoning",
}


def test_mvbench_is_its_20_tasks_below_a_root():
    wanted = Evaluate.model_validate({"tasks": "mvbench", "root": "data/mvbench"})

    sequence, reasoning = wanted.tasks[0], wanted.tasks[18]
    assert len(wanted.tasks) == 20
    assert {task.name for task in wanted.tasks if task.bounds} == BOUNDED
    assert [task.name for task in wanted.tasks if task.fps] == ["Episodic Reasoning"]
    assert (sequence.annotations, sequence.media) == (
        Path("data/mvbench/json/action_sequence.json"),
        Path("data/mvbench/video/star/Charades_v1_480"),
    )
    assert (reasoning.media, reasoning.fps) == (
        Path("data/mvbench/video/tvqa/frames_fps3_hq"),
        3.0,
    )


def test_mvbench_reads_back_as_it_is_frozen():
    wanted = Evaluate.model_validate({"tasks": "mvbench", "root": "data/mvbench"})

    assert Evaluate.model_validate_json(wanted.model_dump_json()) == wanted


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tasks": "mvbench"}, "tasks: mvbench needs its folder; write root: data/mvbench"),
        (
            {"tasks": [{"name": "a", "annotations": "a"}, {"name": "a", "annotations": "b"}]},
            "tasks: two are called 'a'; rename one",
        ),
    ],
)
def test_tasks_that_cannot_be_told_apart_or_found_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        Evaluate.model_validate(values)
