"""What a model says of each clip, written down beside the caption that the clip has."""

import json

import torch

from jobs.contract.evaluation import Evaluate
from jobs.data.dataset import Sample
from jobs.data.items import CaptionItem
from jobs.data.loader import Batch
from jobs.evaluation.answers import Answer
from jobs.evaluation.forms import ChatModel, load_chat_model
from jobs.evaluation.scores import Results, Score, Tell, total_of
from jobs.evaluation.sets import open_parts, rows_of
from jobs.evaluation.survey import Part, Survey
from jobs.evaluation.writing import write_on
from jobs.job import Job
from model.batch import pad_prompts
from model.prompt import TokenizedPrompt, render_caption
from model.templates import CAPTION_PROMPTS

FRAMES = 4
MAX_NEW_TOKENS = 32
CAPTIONS = "captions.json"


def evaluate(job: Job, wanted: Evaluate, tell: Tell) -> Results:
    """Has all clips captioned; tells how many captions are word for word those of the set.

    Raises:
        StoppedError: Stopped on a signal; the captions so far are saved.
        RefusedError: A newer attempt took over, or there are no weights.
    """
    model = load_chat_model(job, wanted)
    longest = wanted.max_new_tokens or MAX_NEW_TOKENS
    size_px = model.module.cfg.video_encoder.image_size
    parts = open_parts(wanted, frames=wanted.frames or FRAMES, size_px=size_px)
    job.stop.stay()
    survey = Survey(job, wanted, parts)
    scores, listed = [], []
    for part in parts:
        given = survey.over(part, lambda batch: caption_clips(model, batch, longest))
        rows = listed_rows(part, given)
        listed += rows
        same = sum(row["generated"] == row["reference"] for row in rows)
        scores.append(Score(f"{part.name} word for word", same, len(rows)))
        tell(scores[-1])
    tell(total_of(scores))
    return Results(survey.step, {CAPTIONS: json.dumps(listed, indent=1)})


@torch.no_grad()
def caption_clips(model: ChatModel, batch: Batch, max_new_tokens: int) -> dict[int, Answer]:
    """The model's caption of each clip of a batch, by index; None for an unreadable one."""
    found: dict[int, Answer] = {clip.key.index: {"caption": None} for clip in batch.bad}
    if not batch.samples:
        return found
    chat = model.batches.chat
    rows = [_prompt(model, sample) for sample in batch.samples]
    padded = pad_prompts(rows, pad_id=chat.pad_id, side="left")
    inputs = model.batches.with_clips(padded, batch.stacked(), [""] * len(rows))
    written = write_on(model.module, chat, inputs.to(model.device), max_new_tokens)
    for sample, text in zip(batch.samples, written, strict=True):
        found[sample.key.index] = {"caption": text}
    return found


def listed_rows(part: Part, answers: list[Answer]) -> list[dict[str, str | None]]:
    """Each clip's file, the caption that it has, and the one that the model gave."""
    return [
        {
            "task": part.name,
            "file": item.media,
            "reference": item.caption,
            "generated": answer["caption"],
        }
        for item, answer in zip(rows_of(part), answers, strict=True)
        if isinstance(item, CaptionItem)
    ]


def _prompt(model: ChatModel, sample: Sample) -> TokenizedPrompt:
    """Always the first of the prompts: stage 2 draws one for each batch, nothing is drawn here."""
    if not isinstance(sample.item, CaptionItem) or sample.kind == "text":
        raise TypeError(f"task {sample.set_name}: needs captions")
    prompt = CAPTION_PROMPTS[sample.kind][0]
    chat = model.batches.chat
    return chat.conversation(
        render_caption(chat.template, kind=sample.kind, prompt=prompt, caption=None)
    )
