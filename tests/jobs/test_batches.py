"""From samples to the model's inputs: turns, instructions, tiles."""

from dataclasses import replace

import pytest
import torch

from jobs.batches import CaptionBatches, Chat, ConversationBatches, PairBatches, text_tensors
from jobs.data.dataset import Sample, SampleKey
from jobs.data.items import CaptionItem, ConversationItem, Turn
from jobs.data.loader import Batch
from jobs.data.tokenizer import build_tokenizer
from model.presets import PRESETS
from model.prompt import MEDIA_ID
from model.templates import TEMPLATES
from model.video_chat import VideoChat
from model.video_text import VideoTextPretraining

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
    made = batches(Batch((sample("a b", "c d"),))).arguments["batch"]

    text = tokenizer.decode([i for i in made.ids[0].tolist() if i != MEDIA_ID])
    assert text.index("a b") < text.index("c d")


def test_turns_are_drawn_anew_each_epoch_and_the_same_in_each_process(batches):
    seeded = replace(batches, turns_seed=3)

    def drawn(epoch):
        made = seeded(Batch((sample("a", "b", "c", "d", epoch=epoch),))).arguments["batch"]
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
        made = seeded(Batch((one,))).arguments["batch"]
        texts.add(tokenizer.decode(made.instruction_ids[0], skip_special_tokens=True))

    assert len(texts) == 2


def test_tiled_picture_takes_the_tokens_of_all_its_tiles_and_of_the_whole(batches):
    tiled = replace(batches, tile_px=SIZE)

    made = tiled(Batch((sample("a", rows=1, columns=2), sample("b")))).arguments["batch"]

    assert made.video.shape == (3 + 2, 1, 3, SIZE, SIZE)
    assert (made.ids == MEDIA_ID).sum(dim=1).tolist() == [3 * VISUAL, 2 * VISUAL]
    assert made.instruction_ids.shape[0] == 5
    where = (made.ids[0] == MEDIA_ID).nonzero().flatten()
    assert where.tolist() == list(range(int(where[0]), int(where[0]) + 3 * VISUAL))


def test_model_reads_tiles_in_their_order(batches):
    """As the reference does: each tile through the encoder alone, one after the other."""
    torch.manual_seed(0)
    model = VideoChat(TINY, stage=3).eval()
    made = replace(batches, tile_px=SIZE)(Batch((sample("a", rows=2, columns=1),))).arguments[
        "batch"
    ]

    embedded = model.embedded(made)[made.ids == MEDIA_ID]

    ids, mask = made.instruction_ids[:1], made.instruction_mask[:1]
    each = [model.visual_tokens(clip[None], ids, mask)[0] for clip in made.video]
    assert torch.allclose(embedded, torch.cat(each), atol=1e-5)


def test_batch_of_text_alone_has_no_clips_even_with_tiles(batches):
    made = replace(batches, tile_px=SIZE)(Batch((sample("a", kind="text"),))).arguments["batch"]

    assert made.video is None
    assert not (made.ids == MEDIA_ID).any()


def test_qformer_of_vicuna_reads_the_first_question_too(batches, tokenizer):
    chat = replace(batches.chat, template=TEMPLATES["vicuna"])

    made = replace(batches, chat=chat)(Batch((sample("what"),))).arguments["batch"]

    expected = tokenizer("look at it what", return_tensors="pt")["input_ids"]
    assert torch.equal(made.instruction_ids, expected)


def clips(*captions):
    """Clips in grey levels, each with a caption."""
    torch.manual_seed(5)
    return Batch(
        tuple(
            Sample(
                torch.randint(256, (4, 3, SIZE, SIZE), dtype=torch.uint8),
                CaptionItem("video", "a.mp4", caption),
                SampleKey(0, place),
                "a",
            )
            for place, caption in enumerate(captions)
        )
    )


def told(batch):
    """The same clips with a conversation about each in place of the caption."""
    items = [
        ConversationItem("video", "a.mp4", (Turn("look", one.item.caption, "a red bar"),))
        for one in batch.samples
    ]
    return Batch(
        tuple(replace(one, item=item) for one, item in zip(batch.samples, items, strict=True))
    )


@torch.no_grad()
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_padding_to_a_multiple_changes_lengths_and_no_loss(tokenizer, stage):
    torch.manual_seed(0)
    model = (VideoTextPretraining(TINY) if stage == 1 else VideoChat(TINY, stage=stage)).eval()
    batch, losses, lengths = clips("a red bar moves", "a blue cross moves to the left"), [], []

    for multiple in (1, 8, 64):
        chat = Chat(tokenizer, TEMPLATES["mistral"], VISUAL, 512, multiple)
        collate = {
            1: PairBatches(tokenizer, 64, multiple),
            2: CaptionBatches(chat, 0),
            3: ConversationBatches(chat, tokenizer, 64),
        }[stage]
        made = collate(told(batch) if stage == 3 else batch)
        torch.manual_seed(1)  # stage 1 draws its negatives
        losses.append(float(model(**made.arguments)["loss"]))
        text = made.arguments["text_ids_BL"] if stage == 1 else made.arguments["batch"].ids
        lengths.append(text.shape[1])
        assert made.tokens == (6 + 9 if stage == 1 else int(made.arguments["batch"].mask.sum()))

    assert [length % multiple for length, multiple in zip(lengths, (1, 8, 64), strict=True)] == [
        0
    ] * 3
    assert lengths[0] < lengths[1] < lengths[2]
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-6)


def test_texts_are_not_padded_further_than_there_are_positions(tokenizer):
    ids, mask = text_tensors(tokenizer, ["a red bar moves", "a"], 10, multiple=8)
    short, _ = text_tensors(tokenizer, ["a red bar moves to the left now and then"], 10, multiple=8)
    wide, _ = text_tensors(tokenizer, ["a"], 60, multiple=8)

    assert (ids.shape, short.shape, wide.shape) == ((2, 8), (1, 10), (1, 8))
    assert mask.sum(dim=1).tolist() == [6, 3]
    assert ids[mask == 0].unique().tolist() == [tokenizer.pad_token_id]


def test_clips_stay_grey_levels_up_to_the_model(batches):
    batch = clips("a", "b")

    made = batches(told(batch)).arguments["batch"]

    assert made.video.dtype is torch.uint8
    assert torch.equal(made.video, torch.stack([one.video_TCHW for one in batch.samples]))
