"""Questions put to a model with random weights, against the same sums done one by one."""

from dataclasses import replace

import pytest
import torch

from jobs.batches import Chat, ConversationBatches
from jobs.build import model_config
from jobs.data.annotations import open_set
from jobs.data.choices import LETTER_FORMS
from jobs.data.dataset import BadClip, ClipDataset, SampleKey
from jobs.data.items import ChoiceItem
from jobs.data.loader import Batch
from jobs.data.tokenizer import build_tokenizer
from jobs.evaluation.examiner import Examiner, is_right, letter_segments
from model.batch import pad_prompts
from model.prompt import Turn, render_conversation
from model.templates import TEMPLATES
from model.video_chat import VideoChat

INSTRUCTION = "watch the video and answer the question."


@pytest.mark.parametrize(
    ("predicted", "right"),
    [
        ("(B) up", True),
        ("(b", True),
        ("(B)", True),
        ("(B.) up", True),
        ("(B)up it goes", True),
        ("(A) left", False),
        ("(up", False),
        ("(C) up", False),
        ("(", False),
        ("", False),
    ],
)
def test_answer_is_right_when_its_first_word_is_the_letter(predicted, right):
    item = ChoiceItem("video", "a.mp4", "which way?", ("left", "up", "down"), "up")

    assert is_right(predicted, item) is right


@pytest.fixture(scope="module")
def examiner(material) -> Examiner:
    config = model_config(material.spec("ev").model)
    torch.manual_seed(3)
    module = VideoChat(config, stage=3).eval()
    with torch.no_grad():  # far from each other, so that no two candidates tie
        module.language_model.get_output_embeddings().weight.normal_(std=3.0)
    tokenizer = build_tokenizer()
    chat = Chat(tokenizer, TEMPLATES[config.template], config.num_visual_tokens, 400)
    batches = ConversationBatches(chat, tokenizer, 64)
    return Examiner(module, batches, INSTRUCTION, "likelihood", torch.device("cpu"))


@pytest.fixture(scope="module")
def batch(material) -> Batch:
    """Questions with three candidates and, changed by hand, with two and with longer ones."""
    opened = open_set(material.clips / "test_shape.json", material.clips)
    dataset = ClipDataset([opened], frames=2, size_px=32, train=False)
    samples = [dataset[SampleKey(0, index)] for index in range(6)]
    item = samples[1].item
    samples[1] = replace(samples[1], item=replace(item, candidates=(item.answer, "a red bar")))
    return Batch(tuple(samples))


def test_likeliest_candidate_counts_whatever_the_others_in_the_batch(examiner, batch):
    alone = [_likeliest(examiner, sample) for sample in batch.samples]
    right = [said == sample.item.answer for said, sample in zip(alone, batch.samples, strict=True)]

    answers = examiner.answers(batch)

    assert [answers[index]["pred"][4:] for index in range(6)] == alone
    assert [answers[index]["right"] for index in range(6)] == right
    assert 0 < sum(right) < len(right)


def test_question_about_an_unreadable_clip_is_answered_wrongly(examiner):
    bad = BadClip("shape", "gone.mp4", "OSError", "no such file", SampleKey(0, 3))

    assert examiner.answers(Batch((), (bad,))) == {3: {"pred": "", "right": False}}


@pytest.mark.parametrize(
    ("template", "before", "after"),
    [
        (
            "vicuna",
            "WATCH.\n###Human: <Video>",
            "</Video>\n###Human: WATCH.\nQuestion: what?\nOptions:\n(A) a\n(B) {b}\n"
            "Only give the best option.\n###Assistant: Best option:(",
        ),
        (
            "mistral",
            "WATCH.\n[INST] <Video>",
            "</Video> [/INST] [INST] WATCH.\nQuestion: what?\nOptions:\n(A) a\n(B) {b}\n"
            "Only give the best option. [/INST] Best option:(",
        ),
        (
            "phi3",
            "<|system|>\nWATCH.<|end|>\n<|user|>\n<Video>",
            "</Video>\nWATCH.\nQuestion: what?\nOptions:\n(A) a\n(B) {b}\n"
            "Only give the best option.<|end|>\n<|assistant|>\nBest option:(",
        ),
    ],
)
def test_question_by_letter_is_put_in_the_words_of_the_reference(template, before, after):
    item = ChoiceItem("video", "a.mp4", "what?", ("a", "{b}"), "a")

    first, clip, last = letter_segments(template, "WATCH.\n", item)

    assert (first.text, clip.is_media, last.text) == (before, True, after)


def test_every_template_has_a_form_for_letters():
    assert LETTER_FORMS.keys() == TEMPLATES.keys()


def test_answer_by_letter_is_the_first_line_that_the_model_writes(examiner, batch):
    by_letter = replace(examiner, answer_by="letter", max_new_tokens=5)
    alone = [by_letter.answers(Batch((sample,))) for sample in batch.samples]

    answers = by_letter.answers(batch)

    assert answers == {index: one[index] for index, one in enumerate(alone)}
    assert all(1 < len(answer["pred"].split()) <= 5 for answer in answers.values())
    assert all(answer["pred"].startswith("(") for answer in answers.values())


def _likeliest(examiner: Examiner, sample) -> str:
    chat, scores = examiner.batches.chat, {}
    for candidate in sample.item.candidates:
        turn = Turn(sample.item.question, candidate)
        segments = render_conversation(
            chat.template, [turn], kind="video", instruction=INSTRUCTION, seconds=sample.seconds
        )
        row = chat.conversation(segments)
        padded = pad_prompts([row], pad_id=0)
        inputs = examiner.batches.with_clips(padded, sample.video_TCHW[None], [INSTRUCTION])
        length = sum(label != -100 for label in row.labels)
        scores[candidate] = float(examiner.module.sequence_log_likelihood(inputs)) / length
    return max(scores, key=scores.__getitem__)


@pytest.mark.parametrize("answer_by", ["letter", "likelihood"])
def test_question_about_tiles_is_answered_alike_alone_and_beside_others(
    examiner, material, answer_by
):
    opened = open_set(material.clips / "test_shape.json", material.clips)
    dataset = ClipDataset([opened], frames=2, size_px=32, train=False, max_tiles=2)
    wide = [dataset[SampleKey(0, index)] for index in range(2)]
    wide[1] = replace(wide[1], video_TCHW=torch.cat([wide[0].video_TCHW] * 2, dim=3))
    batches = replace(examiner.batches, tile_px=32)
    asked = replace(examiner, batches=batches, answer_by=answer_by, max_new_tokens=3)

    together = asked.answers(Batch(tuple(wide)))

    assert [len(batches.clips(sample)) for sample in wide] == [2, 3]
    assert together == {
        sample.key.index: answer
        for sample in wide
        for answer in asked.answers(Batch((sample,))).values()
    }
