"""The little world of the synthetic clips: what happens in one, and all words about it.

All texts are made from the tables here, so that the vocabulary is small and closed.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, TypeVar

import numpy as np

from jobs.data.choices import (
    ANSWER_START,
    MVBENCH_INSTRUCTION,
    MVBENCH_REMINDER,
    choice_question,
)
from jobs.data.items import Turn

Word = TypeVar("Word", bound=str)
Aspect = Literal["direction", "colour", "shape"]
ASPECTS: tuple[Aspect, ...] = ("direction", "colour", "shape")
VALUES: dict[Aspect, tuple[str, ...]] = {
    "direction": ("left", "right", "up", "down"),
    "colour": ("red", "green", "blue", "yellow"),
    "shape": ("circle", "cross", "bar"),
}

CAPTIONS = (
    "a {colour} {shape} moves {direction}",
    "a {colour} {shape} is moving {direction}",
    "the {colour} {shape} goes {direction}",
    "there is a {colour} {shape} that moves {direction}",
)
QUESTIONS: dict[Aspect, tuple[str, ...]] = {
    "direction": (
        "which way does it move?",
        "in which direction does the object move?",
        "where does the object go?",
    ),
    "colour": (
        "what colour is it?",
        "what is the colour of the object?",
        "which colour does the object have?",
    ),
    "shape": (
        "what shape is it?",
        "what is the shape of the object?",
        "which shape does the object have?",
    ),
}
ANSWERS: dict[Aspect, str] = {
    "direction": "it moves {value}",
    "colour": "it is {value}",
    "shape": "it is a {value}",
}
INSTRUCTION = "watch the video and answer the question."
STATEMENT = "the video shows: {caption}"


@dataclass(frozen=True)
class Scene:
    """What is to be seen in one clip."""

    direction: str
    colour: str
    shape: str

    def value(self, aspect: Aspect) -> str:
        """The right answer to a question about `aspect`."""
        return {"direction": self.direction, "colour": self.colour, "shape": self.shape}[aspect]


@dataclass(frozen=True)
class Question:
    """A multiple-choice question about a scene, its options already shuffled."""

    text: str
    candidates: tuple[str, ...]
    answer: str


def scenes() -> tuple[Scene, ...]:
    """All 48 scenes."""
    return tuple(Scene(*values) for values in product(*(VALUES[aspect] for aspect in ASPECTS)))


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """A sentence about the scene."""
    return _in_words(_one_of(CAPTIONS, rng), scene)


def plain_caption(scene: Scene) -> str:
    """The one sentence about the scene that is always the same."""
    return _in_words(CAPTIONS[0], scene)


def motion(scene: Scene) -> str:
    """A sentence about nothing but the direction."""
    return ANSWERS["direction"].format(value=scene.direction)


def open_turns(scene: Scene, rng: np.random.Generator) -> tuple[Turn, ...]:
    """A free question about each aspect, in random order; the first has the instruction.

    Half of the answers are sentences, half only the word.
    """
    turns = [
        (
            _one_of(QUESTIONS[aspect], rng),
            _one_of((ANSWERS[aspect], "{value}"), rng).format(value=scene.value(aspect)),
        )
        for aspect in _shuffled(ASPECTS, rng)
    ]
    return _with_instruction(turns, INSTRUCTION)


def question(scene: Scene, aspect: Aspect, rng: np.random.Generator) -> Question:
    """A multiple-choice question; the place of the right answer is random."""
    text = _one_of(QUESTIONS[aspect], rng)
    return Question(text, tuple(_shuffled(VALUES[aspect], rng)), scene.value(aspect))


def words(text: str) -> list[str]:
    """Splits a text into lower-case words and single signs; white space only parts them."""
    return re.findall(r"[a-z]+|[^\sa-z]", text.lower())


def vocabulary() -> list[str]:
    """All words and signs of the texts made here and of MVBench's prompts, sorted."""
    return sorted({word for text in _all_texts() for word in words(text)})


def _all_texts() -> Iterable[str]:
    for aspect in ASPECTS:
        yield from QUESTIONS[aspect]
        yield from (ANSWERS[aspect].format(value=value) for value in VALUES[aspect])
        yield choice_question("", VALUES[aspect])
        yield ANSWER_START
    yield from (template.format(direction="", colour="", shape="") for template in CAPTIONS)
    yield STATEMENT.format(caption="")
    yield from (INSTRUCTION, MVBENCH_INSTRUCTION, MVBENCH_REMINDER)


def _in_words(template: str, scene: Scene) -> str:
    return template.format(direction=scene.direction, colour=scene.colour, shape=scene.shape)


def _one_of(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _shuffled(values: Sequence[Word], rng: np.random.Generator) -> list[Word]:
    return [values[int(i)] for i in rng.permutation(len(values))]


def _with_instruction(turns: Sequence[tuple[str, str]], instruction: str) -> tuple[Turn, ...]:
    return tuple(
        Turn(instruction if i == 0 else "", asked, answer)
        for i, (asked, answer) in enumerate(turns)
    )
