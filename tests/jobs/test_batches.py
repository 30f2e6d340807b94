"""From samples to the model's inputs: turns, instructions, tiles."""

from dataclasses import replace

import pytest
import torch

from jobs.batches import Chat, ConversationBatches
from jobs.data.dataset import Sample, SampleKey
from jobs.data.items import ConversationItem, Turn
from jobs.data.loader import Batch
from jobs.data.tokenizer import build_tokenizer
from model.presets import PRESETS
from model.prompt import MEDIA_ID
from model.templates import TEMPLATES
from model.video_chat import VideoChat

TINY = PRESETS["tiny"]
SIZE, VISUAL = TINY.video_encoder.image_size, TINY.num_visual_tokens


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


@pytest.fixture
def batches(tokenizer):
    chat = Chat(tokenizer, TEMPLATES["mistral"], VISUAL, 512)
    return ConversationBatches(chat, tokenizer, 64)


def sample(*questions, rows=1, columns=1, index=0, epoch=0, kind="image"):
    turns = tuple(Turn("look at it", question, "yes") for question in questions)
    video = None if kind == "text" else torch.randn(1, 3, rows * SIZE, columns * SIZE)
    item = ConversationItem(kind, None if kind == "text" else "a.png", turns)
    return Sample(video, item, SampleKey(epoch, index), "a")


def test_turns_keep_the_order_of_the_file_without_a_seed(batches, tokenizer):
    made = batches(Batch((sample("a b", "c d"),)))["batch"]

    text = tokenizer.decode([i for i in made.ids[0].tolist() if i != MEDIA_ID])
    assert text.index("a b") < text.index("c d")


def test_turns_are_drawn_anew_each_epoch_and_the_same_in_each_process(batches):
    seeded = replace(batches, turns_seed=3)

    def drawn(epoch):
        made = seeded(Batch((sample("a", "b", "c", "d", epoch=epoch),)))["batch"]
        return made.ids.tolist()

    assert drawn(0) == drawn(0)
    assert len({str(drawn(epoch)) for epoch in range(6)}) > 2


def test_first_turn_drawn_gives_the_instruction(batches, tokenizer):
    turns = (Turn("look left", "a", "yes"), Turn("look right", "b", "no"))
    item = ConversationItem("image", "a.png", turns)
    seeded = replace(batches, turns_seed=0)
    texts = set()

    for epoch in range(8):
        one = Sample(torch.randn(1, 3, SIZE, SIZE), item, SampleKey(epoch, 0), "a")
        made = seeded(Batch((one,)))["batch"]
        texts.add(tokenizer.decode(made.instruction_ids[0], skip_special_tokens=True))

    assert len(texts) == 2


def test_tiled_picture_takes_the_tokens_of_all_its_tiles_and_of_the_whole(batches):
    tiled = replace(batches, tile_px=SIZE)

    made = tiled(Batch((sample("a", rows=1, columns=2), sample("b"))))["batch"]

    assert made.video.shape == (3 + 2, 1, 3, SIZE, SIZE)
    assert (made.ids == MEDIA_ID).sum(dim=1).tolist() == [3 * VISUAL, 2 * VISUAL]
    assert made.instruction_ids.shape[0] == 5
    where = (made.ids[0] == MEDIA_ID).nonzero().flatten()
    assert where.tolist() == list(range(int(where[0]), int(where[0]) + 3 * VISUAL))


def test_model_reads_tiles_in_their_order(batches):
    """As the reference does: each tile through the encoder alone, one after the other."""
    torch.manual_seed(0)
    model = VideoChat(TINY, stage=3).eval()
    made = replace(batches, tile_px=SIZE)(Batch((sample("a", rows=2, columns=1),)))["batch"]

    embedded = model.embedded(made)[made.ids == MEDIA_ID]

    ids, mask = made.instruction_ids[:1], made.instruction_mask[:1]
    each = [model.visual_tokens(clip[None], ids, mask)[0] for clip in made.video]
    assert torch.allclose(embedded, torch.cat(each), atol=1e-5)


def test_batch_of_text_alone_has_no_clips_even_with_tiles(batches):
    made = replace(batches, tile_px=SIZE)(Batch((sample("a", kind="text"),)))["batch"]

    assert made.video is None
    assert not (made.ids == MEDIA_ID).any()


def test_qformer_of_vicuna_reads_the_first_question_too(batches, tokenizer):
    chat = replace(batches.chat, template=TEMPLATES["vicuna"])

    made = replace(batches, chat=chat)(Batch((sample("what"),)))["batch"]

    expected = tokenizer("look at it what", return_tensors="pt")["input_ids"]
    assert torch.equal(made.instruction_ids, expected)
