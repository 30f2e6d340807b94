"""Counting multiple choice, and the files for MVBench's leaderboard."""

import json

from jobs.data.items import ChoiceItem
from jobs.evaluation.choice import all_results, leaderboard, majority_of
from jobs.evaluation.scores import Score, total_of


def item(answer="up", candidates=("left", "up", "down")) -> ChoiceItem:
    """A question whose answer is (B) unless told otherwise."""
    return ChoiceItem("video", "a.mp4", "which way?", candidates, answer)


def test_average_counts_questions_not_tasks():
    scores = [Score("a", 1, 2, 1), Score("b", 8, 8, 5)]

    average = total_of(scores)

    assert (average, average.accuracy) == (Score("average", 9, 10, 6), 0.9)


def test_majority_is_the_most_frequent_answer_whatever_its_letter():
    items = [item("up"), item("up", ("up", "left")), item("left")]

    assert (majority_of(items), majority_of([])) == (2, 0)


def test_upload_holds_percent_of_each_task_and_of_all_questions():
    scores = [Score("Action Count", 1, 4, 1), Score("Moving Count", 8, 8, 5)]

    assert json.loads(leaderboard(scores)) == {
        "Action Count": 25.0,
        "Moving Count": 100.0,
        "Avg": 75.0,
    }


def test_all_results_hold_every_answer_beside_the_right_one():
    answered = [
        ({"pred": "(A) up", "right": False}, item()),
        ({"pred": "(", "right": False}, item("left")),
    ]

    assert json.loads(all_results([Score("a", 0, 2, 1)], answered)) == {
        "acc_dict": {"a": [0, 2]},
        "res_list": [{"pred": "(A) up", "gt": "(B) up"}, {"pred": "(", "gt": "(A) left"}],
    }
