"""Token ids and label masks with a sentencepiece tokenizer, as the real language models have."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jobs.build import chat_tokenizer
from jobs.contract.spec import Model
from model.batch import pad_prompts
from model.prompt import (
    TokenizedPrompt,
    qformer_instruction,
    tokenize,
)
from model.templates import TEMPLATES
from tests.parity.chat import form_of
from tests.parity.checks.stage2 import segments_of as caption_segments
from tests.parity.checks.stage3 import around_media
from tests.parity.checks.stage3 import segments_of as conversation_segments
from tests.parity.conversation import parts_of
from tests.parity.findings import Finding, same
from tests.parity.forward import fact_findings, label_spans
from tests.parity.vectors import Vector

NUM_VISUAL_TOKENS = 96
"""As the notes of these vectors say."""


def recognises(vector: Vector) -> bool:
    """Stages with cases of which only the text is recorded."""
    stages = vector.named("stages").values()
    return bool(stages) and all("tokenizer_calls" in each for each in stages)


def check(vector: Vector) -> Iterator[Finding]:
    """The tokenizer's own answers, then every case of both stages."""
    tokenizer = _tokenizer(vector.path.parent)
    for stage, given in vector.facts["stages"].items():
        for text, (ids, pieces) in given["tokenizer_calls"].items():
            got = tokenizer(text, add_special_tokens=False)["input_ids"]
            yield same(f"{stage}.tokenizer {text[:30]!r} ids", got, ids)
            named = tokenizer.convert_ids_to_tokens(got)
            yield same(f"{stage}.tokenizer {text[:30]!r} pieces", named, pieces)
        for name, facts in given["cases"].items():
            make = _caption_rows if "captions" in facts else _conversation_rows
            what = f"{stage}.{name}"
            rows = make(vector, facts, tokenizer, given["max_txt_len"])
            batch = pad_prompts(rows, pad_id=tokenizer.eos_token_id)
            yield from fact_findings(what, facts, batch)
            spans = [label_spans(row.labels) for row in rows]
            named = [
                [[start, tokenizer.convert_ids_to_tokens(ids)] for start, ids in row]
                for row in spans
            ]
            yield same(f"{what}.label_pieces", named, facts["label_pieces"])
            yield from _text_findings(vector, what, facts)


def _tokenizer(folder: Path) -> Any:
    """As a job reads it from a language model's folder."""
    (file,) = folder.glob("*.model")
    with tempfile.TemporaryDirectory() as place:
        shutil.copy(file, Path(place) / "tokenizer.model")
        return chat_tokenizer(Model(preset="tiny", tokenizer=Path(place)))


def _caption_rows(
    vector: Vector, facts: Mapping[str, Any], tokenizer: Any, max_text_length: int
) -> list[TokenizedPrompt]:
    drawn = _drawn(facts)
    trained = facts["end_sym"] != tokenizer.eos_token
    return [
        tokenize(
            caption_segments(vector, drawn, caption, end_trained=trained),
            tokenizer,
            max_text_length=max_text_length,
            num_visual_tokens=NUM_VISUAL_TOKENS,
            limit="trained",
        )
        for caption in facts["captions"]
    ]


def _conversation_rows(
    vector: Vector, facts: Mapping[str, Any], tokenizer: Any, max_text_length: int
) -> list[TokenizedPrompt]:
    form = form_of(vector)
    return [
        tokenize(
            segments,
            tokenizer,
            max_text_length=max_text_length,
            num_visual_tokens=NUM_VISUAL_TOKENS,
        )
        for segments in conversation_segments(form, parts_of(form, facts["conversation"]))
    ]


def _drawn(facts: Mapping[str, Any]) -> str:
    before, after = facts["prompts_seen"]
    return f"{before}<{before.rpartition('<')[2][:-1]}Here>{after}"


def _text_findings(vector: Vector, what: str, facts: Mapping[str, Any]) -> Iterator[Finding]:
    if "captions" in facts:
        before, _, after, *_ = caption_segments(vector, _drawn(facts), "", end_trained=True)
        yield same(f"{what}.prompts_seen", [before.text, after.text], facts["prompts_seen"])
        return
    form = form_of(vector)
    parts = parts_of(form, facts["conversation"])
    said = ["".join(around_media(each)) for each in conversation_segments(form, parts)]
    yield same(f"{what}.conversation", said, facts["conversation"])
    told = [
        qformer_instruction(TEMPLATES[form], turns[0]["i"], turns[0]["q"]) for turns in parts["QA"]
    ]
    yield same(f"{what}.qformer_instruction", told, facts["qformer_instruction"])
