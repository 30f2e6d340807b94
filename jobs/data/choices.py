"""Multiple choice in MVBench's words.

The one place for them. Source: MVBench (arXiv 2311.17005) as VideoChat2 asks it.
"""

from collections.abc import Sequence

MVBENCH_INSTRUCTION = (
    "Carefully watch the video and pay attention to the cause and sequence of events, "
    "the detail and movement of objects, and the action and pose of persons. "
    "Based on your observations, select the best option that accurately addresses the question."
)
MVBENCH_REMINDER = "\nOnly give the best option."
ANSWER_START = "Best option:("


def letter(index: int) -> str:
    """The letter of an option, from A for index 0."""
    return chr(ord("A") + index)


def choice_question(question: str, candidates: Sequence[str]) -> str:
    """The question with its lettered options, a line each; no line end at the end."""
    options = [f"({letter(i)}) {candidate}" for i, candidate in enumerate(candidates)]
    return "\n".join([f"Question: {question}", "Options:", *options])
