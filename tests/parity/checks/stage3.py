"""The whole forward of stage 3, with the original's fault at BOS and without it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from jobs.batches import text_tensors
from model.batch import ChatBatch, pad_prompts
from model.prompt import Segment, Turn, qformer_instruction, render_conversation, tokenize
from model.templates import TEMPLATES
from tests.parity.chat import WordTokenizer, bert_tokenizer, build_model, form_of, pixels
from tests.parity.findings import Finding, compare, same
from tests.parity.forward import (
    Case,
    cases_of,
    forward_findings,
    gradient_findings,
    sequence_findings,
)
from tests.parity.vectors import Vector


def recognises(vector: Vector) -> bool:
    """Whole forwards whose cases are conversations."""
    cases = vector.named("cases").values()
    return bool(cases) and all("loss_true_bos" in case for case in cases)


def check(vector: Vector) -> Iterator[Finding]:
    """Every value of every case."""
    model = build_model(vector, stage=3, bos="reference")
    for case in cases_of(vector):
        yield from text_findings(case)
        batch = conversation_batch(vector, case.facts)
        video = pixels(case.tensor("image_u8"), model.cfg.video_encoder.image_size)
        batch = replace(batch, video=video)
        yield from instruction_findings(case, batch)
        yield from sequence_findings(case, batch)
        yield from forward_findings(case, model, batch)
        yield from gradient_findings(case, model)
        model.numeric_bos = False
        with torch.no_grad():
            loss = model(batch)["loss"]
        model.numeric_bos = True
        yield case.compare("loss_true_bos", loss[None])
        want, tolerance = case.facts["loss_true_bos"], case.tolerance("loss_true_bos")
        yield compare(f"{case.name}.loss_true_bos (facts)", loss, want, tolerance)


def conversation_batch(vector: Vector, facts: Mapping[str, Any]) -> ChatBatch:
    """Our sequences of conversations with the QFormer's instructions, without clips."""
    tokenizer = WordTokenizer(vector.facts["llm_tokenizer"])
    sizes = vector.facts["config"]
    rows = [
        tokenize(
            segments,
            tokenizer,
            max_text_length=sizes["max_txt_len"],
            num_visual_tokens=sizes["num_query_token"] + sizes["extra_num_query_token"],
        )
        for segments in segments_of(form_of(vector), facts)
    ]
    batch = pad_prompts(rows, pad_id=tokenizer.pad_token_id)
    if not sizes["qformer_text_input"]:
        return batch
    told = instructions_of(vector, facts)
    ids, mask = text_tensors(bert_tokenizer(vector), told, sizes["max_txt_len"])
    return replace(batch, instruction_ids=ids, instruction_mask=mask)


def segments_of(form: str, facts: Mapping[str, Any]) -> list[list[Segment]]:
    """Each conversation of a case by our template."""
    kind: Any = "image" if facts["use_image"] else "video"
    seconds = [float(second) for second in facts["frame_seconds"] or ()]
    return [
        render_conversation(
            TEMPLATES[form],
            [Turn(turn["q"], turn["a"]) for turn in turns],
            kind=kind,
            instruction=turns[0].get("i", ""),
            seconds=seconds,
        )
        for turns in facts["QA"]
    ]


def instructions_of(vector: Vector, facts: Mapping[str, Any]) -> list[str]:
    """What the QFormer reads beside each clip."""
    template = TEMPLATES[form_of(vector)]
    return [
        qformer_instruction(template, turns[0].get("i", ""), turns[0]["q"]) for turns in facts["QA"]
    ]


def text_findings(case: Case) -> Iterator[Finding]:
    """Strings and token ids before and after the clip."""
    told = instructions_of(case.vector, case.facts)
    yield same(f"{case.name}.qformer_instruction", told, case.facts["qformer_instruction"])
    tokenizer = WordTokenizer(case.vector.facts["llm_tokenizer"])
    for index, segments in enumerate(segments_of(form_of(case.vector), case.facts)):
        before, after = around_media(segments)
        yield same(f"{case.name}.conversation", before + after, case.facts["conversation"][index])
        for side, text in (("before", before), ("after", after)):
            what = f"text_{side}_visual"
            yield same(f"{case.name}.{what}", text, case.facts[what][index])
            (ids, _) = tokenize(
                [Segment(text)], tokenizer, max_text_length=len(text) + 1, num_visual_tokens=0
            )
            want = case.facts[f"token_ids_{side}"][index]
            yield same(f"{case.name}.token_ids_{side}", ids[1:], want)


def around_media(segments: Sequence[Segment]) -> tuple[str, str]:
    """The text before the clip, and the text after it."""
    place = [segment.is_media for segment in segments].index(True)
    texts = [segment.text for segment in segments]
    return "".join(texts[:place]), "".join(texts[place:])


def instruction_findings(case: Case, batch: ChatBatch) -> Iterator[Finding]:
    """Ids and mask of what the QFormer reads."""
    held = {"qformer_text_ids": batch.instruction_ids, "qformer_text_mask": batch.instruction_mask}
    for name, got in held.items():
        if name not in case.facts:
            continue
        yield same(f"{case.name}.{name}", got, case.tensor(name))
        ours = None if got is None else got.tolist()
        yield same(f"{case.name}.{name} (facts)", ours, case.facts[name])
