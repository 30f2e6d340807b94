"""Questions put to a model with random weights, against the same sums done one by one."""

from dataclasses import replace

import pytest
import torch

from jobs.batches import Chat, ConversationBatches
from jobs.build import model_config
from jobs.data.annotations import open_set
from jobs.data.dataset import ClipDataset, SampleKey
from jobs.data.items import ChoiceItem
from jobs.data.loader import Batch
from jobs.data.tokenizer import build_tokenizer
from jobs.examiner import Examiner, is_right
from model.batch import pad_prompts
from model.prompt import Turn, render_conversation
from model.templates import TEMPLATES
from model.video_chat import VideoChat

INSTRUCTION = "watch the video and answer the question."


@pytest.mark.parametrize(
    ("answer", "right"),
    [("B", True), (" b", True), ("B)", True), ("A", False), ("", False), ("up", False)],
)
def test_answer_is_right_when_it_begins_with_the_letter(answer, right):
    item = ChoiceItem("video", "a.mp4", "which way?", ("left", "up", "down"), "up")

    assert is_right(answer, item) is right


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
    alone = [_likeliest(examiner, sample) == sample.item.answer for sample in batch.samples]

    correct = examiner.count_correct(batch)

    assert correct == sum(alone)
    assert 0 < correct < len(alone)


def test_batch_without_a_readable_clip_has_no_right_answer(examiner):
    assert examiner.count_correct(Batch(())) == 0


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
