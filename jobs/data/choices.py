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
LETTER_FORMS: dict[str, tuple[str, str]] = {
    "vicuna": (
        "{instruction}\n###Human: <{kind}>",
        "</{kind}>\n###Human: {instruction}\n{question}\n###Assistant: {start}",
    ),
    "mistral": (
        "{instruction}\n[INST] <{kind}>",
        "</{kind}> [/INST] [INST] {instruction}\n{question} [/INST] {start}",
    ),
    "phi3": (
        "<|system|>\n{instruction}<|end|>\n<|user|>\n<{kind}>",
        "</{kind}>\n{instruction}\n{question}<|end|>\n<|assistant|>\n{start}",
    ),
}
"""What stands before the visual tokens and after them, by the template's name.

The instruction stands twice, and no message about time, as in mvbench.ipynb (Vicuna) and
demo_mistral.ipynb of the reference. For Phi no such notebook is published: it is the form that
the model is trained in.
"""


def letter(index: int) -> str:
    """The letter of an option, from A for index 0."""
    return chr(ord("A") + index)


def option(candidates: Sequence[str], index: int) -> str:
    """An option as the answer that MVBench compares with: `(B) up`."""
    return f"({letter(index)}) {candidates[index]}"


def choice_question(question: str, candidates: Sequence[str]) -> str:
    """The question with its lettered options, a line each; no line end at the end."""
    options = [option(candidates, i) for i in range(len(candidates))]
    return "\n".join([f"Question: {question}", "Options:", *options])
