from collections import Counter

import numpy as np
import pytest

from jobs.data.world import (
    ASPECTS,
    VALUES,
    Scene,
    caption,
    open_turns,
    question,
    scenes,
    vocabulary,
    words,
)

SCENE = Scene("left", "red", "circle")


def test_scenes_are_all_combinations_once():
    assert len(set(scenes())) == len(scenes()) == 48


def test_words_are_lower_case_and_signs_stand_alone():
    assert words("Best option:(B) left\n") == ["best", "option", ":", "(", "b", ")", "left"]


def test_captions_name_the_whole_scene_in_several_ways():
    texts = {caption(SCENE, np.random.default_rng(i)) for i in range(50)}

    assert len(texts) == 4
    assert "a red circle moves left" in texts
    assert all({"red", "circle", "left"} <= set(words(text)) for text in texts)


def test_open_turns_ask_each_aspect_once_after_one_instruction():
    turns = open_turns(SCENE, np.random.default_rng(0))

    assert {words(turn.answer)[-1] for turn in turns} == {"left", "red", "circle"}
    assert [bool(turn.instruction) for turn in turns] == [True, False, False]


def test_open_turns_answer_in_a_sentence_or_in_a_word():
    turns = [turn for seed in range(20) for turn in open_turns(SCENE, np.random.default_rng(seed))]

    assert {turn.answer for turn in turns} == {
        *("it moves left", "it is red", "it is a circle"),
        *("left", "red", "circle"),
    }


@pytest.mark.parametrize("aspect", ASPECTS)
def test_right_answer_stands_at_every_place_about_equally_often(aspect):
    rng = np.random.default_rng(0)
    asked = [question(SCENE, aspect, rng) for _ in range(1200)]

    places = Counter(one.candidates.index(one.answer) for one in asked)

    expected = 1200 / len(VALUES[aspect])
    assert set(places) == set(range(len(VALUES[aspect])))
    assert all(abs(count - expected) < 0.25 * expected for count in places.values())


def test_vocabulary_is_small_sorted_and_the_same_every_time():
    assert vocabulary() == sorted(set(vocabulary()))
    assert len(vocabulary()) < 120
