from jobs.data.choices import choice_question


def test_choice_question_is_in_mvbench_words():
    text = choice_question("Which way?", ["left", "right", "up"])

    assert text == "Question: Which way?\nOptions:\n(A) left\n(B) right\n(C) up"
