"""The strings that conversations become, and what the QFormer reads of them."""

from collections.abc import Iterator
from typing import Any

from model.prompt import Turn, qformer_instruction, render_conversation, time_message
from model.templates import TEMPLATES
from tests.parity.findings import Finding, same
from tests.parity.vectors import Vector

FORMS = {"phi": "phi3"}


def recognises(vector: Vector) -> bool:
    """Questions and answers, and strings made of them."""
    return {"QA", "results", "time_message"} <= set(vector.facts)


def check(vector: Vector) -> Iterator[Finding]:
    """Every string."""
    for name, results in vector.facts["results"].items():
        language_model, kind, _ = name.split("_")
        template = TEMPLATES[FORMS.get(language_model, language_model)]
        for result in results:
            turns = vector.facts["QA"][str(result["qa_index"])]
            turns = [turns[index] for index in result["order"]]
            what = f"{name}.{result['qa_index']}"
            first = turns[0]
            text = _said(template, turns, kind, _seconds_in(vector))
            yield same(f"{what}.conversation", text, result["conversation"])
            told = qformer_instruction(template, first.get("i", ""), first["q"])
            yield same(f"{what}.qformer_instruction", told, result["qformer_instruction"])
    for index, given in enumerate(vector.facts["time_message"]):
        seconds = [frame / given["fps"] for frame in given["frame_indices"]]
        said = [f"{second:.1f}" for second in seconds]
        yield same(f"time_message.{index}.sec", said, given["sec"])
        want = given["message_before_rstrip"].rstrip()
        yield same(f"time_message.{index}", time_message(seconds), want)


def _said(template: Any, turns: list[dict[str, str]], kind: Any, seconds: Any) -> str:
    segments = render_conversation(
        template,
        [Turn(turn["q"], turn["a"]) for turn in turns],
        kind=kind,
        instruction=turns[0].get("i", ""),
        seconds=seconds,
    )
    return "".join(segment.text for segment in segments)


def _seconds_in(vector: Vector) -> list[float]:
    """The seconds of the clips, which stand in a note only."""
    for note in vector.facts["notes"]:
        _, found, seconds = note.partition("seconds here are ")
        if found:
            return [float(second) for second in seconds.split(",")]
    raise ValueError("no note says the seconds of the clips")
