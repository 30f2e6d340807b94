from jobs.data.choices import ANSWER_START, choice_answer, choice_question, letter


def test_choice_question_is_in_mvbench_words():
    text = choice_question("Which way?", ["left", "right", "up"])

    assert text == "Question: Which way?\nOptions:\n(A) left\n(B) right\n(C) up"


def test_choice_answer_starts_as_the_evaluation_starts_it():
    answer = choice_answer(1, ["left", "right"])

    assert answer == "Best option:(B) right"
    assert answer[len(ANSWER_START)] == letter(1)
