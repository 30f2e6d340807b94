"""The whole forward of stage 2: prompt, visual tokens, labels, loss, logits, gradients."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from model.batch import ChatBatch, pad_prompts
from model.prompt import TokenizedPrompt, render_caption, tokenize
from model.templates import TEMPLATES
from tests.parity.chat import WordTokenizer, build_model, form_of, pixels
from tests.parity.findings import Finding, same
from tests.parity.forward import (
    Case,
    cases_of,
    forward_findings,
    gradient_findings,
    sequence_findings,
)
from tests.parity.vectors import Vector


def recognises(vector: Vector) -> bool:
    """Whole forwards whose cases are captions."""
    cases = vector.named("cases").values()
    return bool(cases) and all("regress_texts" in case for case in cases)


def check(vector: Vector) -> Iterator[Finding]:
    """Every value of every case."""
    model = build_model(vector, stage=2)
    for case in cases_of(vector):
        yield from text_findings(case)
        batch = caption_batch(vector, case.facts["prompt_drawn"], case.facts["captions"])
        video = pixels(case.tensor("image_u8"), model.cfg.video_encoder.image_size)
        batch = replace(batch, video=video)
        yield from sequence_findings(case, batch)
        yield from forward_findings(case, model, batch)
        yield from gradient_findings(case, model)


def caption_batch(vector: Vector, drawn: str, captions: list[str]) -> ChatBatch:
    """Our sequences of captions, without clips; `drawn` is the original's whole prompt."""
    tokenizer = WordTokenizer(vector.facts["llm_tokenizer"])
    rows = [_row(vector, tokenizer, drawn, caption) for caption in captions]
    return pad_prompts(rows, pad_id=tokenizer.pad_token_id)


def _row(vector: Vector, tokenizer: WordTokenizer, drawn: str, caption: str) -> TokenizedPrompt:
    facts = vector.facts["config"]
    return tokenize(
        segments_of(vector, drawn, caption, end_trained=facts["end_sym"] != "</s>"),
        tokenizer,
        max_text_length=facts["max_txt_len"],
        num_visual_tokens=facts["num_query_token"] + facts["extra_num_query_token"],
        limit="trained",
    )


def segments_of(vector: Vector, drawn: str, caption: str, *, end_trained: bool) -> list[Any]:
    """A caption with its prompt by our template.

    The original masks its padding among the labels; on Mistral that is the end token.
    """
    kind, asked = prompt_of(drawn)
    template = TEMPLATES[form_of(vector)]
    return render_caption(
        template, kind=kind, prompt=asked, caption=caption, end_trained=end_trained
    )


def prompt_of(drawn: str) -> tuple[Any, str]:
    """The kind of media, and what is asked, in a whole prompt of the original."""
    kind = "video" if "<VideoHere>" in drawn else "image"
    asked = drawn.split(f"</{kind.capitalize()}>")[1]
    for role in ("[/INST]", "###Assistant:", "<|end|>"):
        asked = asked.split(role)[0]
    return kind, asked.strip()


def text_findings(case: Case) -> Iterator[Finding]:
    """The strings that the tokenizer reads."""
    drawn, captions = case.facts["prompt_drawn"], case.facts["captions"]
    for caption, whole in zip(captions, case.facts["regress_texts"], strict=True):
        before, _, after, *spoken = segments_of(case.vector, drawn, caption, end_trained=True)
        yield same(f"{case.name}.text_before", before.text, case.facts["text_before_visual"])
        yield same(f"{case.name}.text_after", after.text, case.facts["text_after_visual"])
        yield same(f"{case.name}.regress", "".join(each.text for each in spoken), whole)
