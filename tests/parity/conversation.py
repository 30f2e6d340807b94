"""From a whole conversation of the original back to its parts, so that our template says it."""

import re
from typing import Any

_MEDIA = re.compile(r"<(?P<kind>Video|Image)></(?P=kind)>")
_TIME = re.compile(r"^ The video contains \d+ frames sampled at (?P<seconds>[\d., ]+) seconds\.")
_ROLES = {
    "mistral": re.compile(r"\[INST\](?P<q>.*?)\[/INST\](?P<a>.*?)</s>", re.DOTALL),
    "vicuna": re.compile(
        r"(?:###Human:(?P<q>(?:(?!###).)*?))?###Assistant:(?P<a>.*?)(?=###)", re.DOTALL
    ),
    "phi3": re.compile(
        r"(?:<\|user\|>\n)?(?P<q>(?:(?!<\|).)*)<\|end\|>\n<\|assistant\|>\n(?P<a>.*?)<\|end\|>",
        re.DOTALL,
    ),
}
_OPENING = {
    "mistral": r"\s*\[INST\] $",
    "vicuna": r"\s*###Human: $",
    "phi3": r"(?:<\|end\|>\n)?<\|user\|>\n$",
}


def parts_of(form: str, conversations: list[str]) -> dict[str, Any]:
    """What a case of a vector says of its conversations: QA, use_image, frame_seconds."""
    found = [_parts(form, text) for text in conversations]
    kinds, seconds = {kind for kind, _, _ in found}, [second for _, second, _ in found]
    if len(kinds) != 1:
        raise ValueError(f"conversations about {', '.join(sorted(kinds))} in one batch")
    return {
        "QA": [turns for _, _, turns in found],
        "use_image": kinds == {"Image"},
        "frame_seconds": seconds[0],
    }


def _parts(form: str, text: str) -> tuple[str, list[str] | None, list[dict[str, str]]]:
    media = _MEDIA.search(text)
    if media is None:
        raise ValueError(f"no media in {text!r}")
    before, after = text[: media.start()], text[media.end() :]
    instruction = re.sub(_OPENING[form], "", before).removeprefix("<|system|>\n")
    time = _TIME.search(after)
    seconds = None
    if time is not None:
        seconds, after = time["seconds"].split(", "), after[time.end() :]
    if form == "mistral":
        after = after.removeprefix(" [/INST]")
        if not after.startswith(" [INST]"):  # no question: the answer follows the clip
            after = f"[INST] [/INST]{after}"
    turns = [
        {"i": instruction, "q": (turn["q"] or "").strip(), "a": turn["a"].strip()}
        for turn in _ROLES[form].finditer(after)
    ]
    return media["kind"], seconds, turns
