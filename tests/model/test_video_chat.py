from dataclasses import replace

import pytest
import torch

from model.batch import ChatBatch
from model.errors import ConfigError, SpliceError
from model.prompt import MEDIA_ID
from model.video_chat import VideoChat


@pytest.fixture
def text_only():
    ids = torch.randint(3, 200, (2, 6))
    return ChatBatch(ids, torch.ones_like(ids), ids.clone())


def pad(batch, side, by=4):
    before = (by, 0) if side == "left" else (0, by)
    return replace(
        batch,
        ids=torch.nn.functional.pad(batch.ids, before),
        mask=torch.nn.functional.pad(batch.mask, before),
        labels=torch.nn.functional.pad(batch.labels, before, value=-100),
    )


def test_loss_and_logits_have_their_shapes(stage2, make_batch):
    batch = make_batch()

    loss, logits = stage2(batch)["loss"], stage2.logits(batch)

    assert (loss.shape, loss.dtype) == ((), torch.float32)
    assert (logits.shape, logits.dtype) == ((2, 1 + 16 + 6, 200), torch.float32)


def test_loss_is_that_of_transformers(stage2, make_batch):
    batch = make_batch()

    theirs = stage2.language_model(
        inputs_embeds=stage2.embedded(batch), attention_mask=batch.mask, labels=batch.labels
    ).loss

    assert torch.allclose(stage2(batch)["loss"], theirs, atol=1e-6)


def test_visual_tokens_have_the_language_models_width(stage3, make_batch):
    batch = make_batch(instruction=True)

    tokens = stage3.visual_tokens(batch.video, batch.instruction_ids, batch.instruction_mask)

    assert tokens.shape == (2, 16, 128)


def test_visual_tokens_stand_where_the_placeholders_were(stage2, make_batch):
    batch = make_batch()

    embedded = stage2.embedded(batch)

    assert torch.equal(embedded[:, 1:17], stage2.visual_tokens(batch.video))
    words = stage2.language_model.get_input_embeddings()(batch.ids[:, 17:])
    assert torch.equal(embedded[:, 17:], words)


def test_clips_follow_the_placeholders_row_by_row(stage2, make_batch):
    batch = make_batch(rows=3)
    ids = batch.ids.clone()
    ids[1, 1:17] = 5
    mixed = replace(batch, ids=ids, video=batch.video[[0, 2]])

    both = stage2.logits(mixed)

    assert torch.allclose(both[[0, 2]], stage2.logits(batch)[[0, 2]], atol=1e-5)


def test_text_only_batch_needs_no_clip(stage2, text_only):
    loss = stage2(text_only)["loss"]

    theirs = stage2.language_model(input_ids=text_only.ids, labels=text_only.ids).loss
    assert torch.allclose(loss, theirs, atol=1e-6)


def test_image_is_a_clip_of_one_frame(stage2, make_batch):
    assert stage2(make_batch(frames=1))["loss"].isfinite()


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_on_either_side_changes_nothing(stage2, make_batch, side):
    batch = make_batch()
    padded = pad(batch, side)

    assert torch.allclose(stage2(padded)["loss"], stage2(batch)["loss"], atol=1e-5)
    assert torch.allclose(
        stage2.next_token_logits(padded), stage2.next_token_logits(batch), atol=1e-4
    )


def test_sequence_does_not_see_its_future(stage2, make_batch):
    batch = make_batch()
    ids = batch.ids.clone()
    ids[:, -1] = (ids[:, -1] + 1) % 200

    before, after = stage2.logits(batch), stage2.logits(replace(batch, ids=ids))

    assert torch.allclose(before[:, :-1], after[:, :-1], atol=1e-6)
    assert not torch.allclose(before[:, -1], after[:, -1], atol=1e-3)


def test_video_is_seen_by_the_answer(stage2, make_batch):
    batch = make_batch()
    other = replace(batch, video=batch.video + 1)

    assert not torch.equal(stage2(batch)["loss"], stage2(other)["loss"])


def test_instruction_is_seen_by_the_answer(stage3, make_batch):
    batch = make_batch(instruction=True)
    torch.nn.init.normal_(stage3.qformer.text_embedding.words.weight)
    other = replace(batch, instruction_ids=(batch.instruction_ids + 1) % 199)

    assert not torch.equal(stage3(batch)["loss"], stage3(other)["loss"])


def test_batch_without_trained_tokens_has_loss_zero(stage2, make_batch):
    batch = make_batch()

    loss = stage2(replace(batch, labels=torch.full_like(batch.ids, -100)))["loss"]

    loss.backward()
    assert loss.item() == 0


def test_log_likelihood_is_the_loss_summed(stage2, make_batch):
    batch = make_batch()

    scores = stage2.sequence_log_likelihood(batch)

    assert scores.shape == (2,)
    assert torch.allclose(-scores.sum() / 6, stage2(batch)["loss"], atol=1e-5)


def test_log_likelihood_of_a_row_does_not_depend_on_the_others(stage2, make_batch):
    batch = make_batch()
    labels = batch.labels.clone()
    labels[0, -2:] = -100

    scores = stage2.sequence_log_likelihood(replace(batch, labels=labels))

    assert torch.equal(scores[1], stage2.sequence_log_likelihood(batch)[1])
    assert scores[0] > stage2.sequence_log_likelihood(batch)[0]


def test_generation_takes_the_likeliest_token_each_time(stage2, make_batch):
    batch = make_batch()

    answers = stage2.generate(pad(batch, "left"), max_new_tokens=3, end_id=2, pad_id=0)

    first = stage2.next_token_logits(batch).argmax(dim=1)
    longer = replace(
        batch,
        ids=torch.cat([batch.ids, first[:, None]], dim=1),
        mask=torch.nn.functional.pad(batch.mask, (0, 1), value=1),
        labels=None,
    )
    second = stage2.next_token_logits(longer).argmax(dim=1)
    assert torch.equal(answers[:, :2], torch.stack([first, second], dim=1))
    assert answers.shape == (2, 3)


def test_generation_refuses_padding_on_the_right(stage2, make_batch):
    with pytest.raises(SpliceError, match="padded on the left"):
        stage2.generate(pad(make_batch(), "right"), max_new_tokens=1, end_id=2, pad_id=0)


def test_splice_names_both_numbers(stage2, make_batch):
    batch = make_batch()

    with pytest.raises(SpliceError, match="have 32 placeholders, 1 clips give 16 visual tokens"):
        stage2(replace(batch, video=batch.video[:1]))


def test_splice_without_clips_names_both_numbers(stage2, make_batch):
    with pytest.raises(SpliceError, match="have 32 placeholders, 0 clips give 0 visual tokens"):
        stage2(replace(make_batch(), video=None))


def test_truncated_placeholders_name_the_row(stage2, make_batch):
    batch = make_batch()
    ids = batch.ids.clone()
    ids[1, 1] = 3

    with pytest.raises(SpliceError, match="sequence 1 has 15 placeholders, not a multiple of 16"):
        stage2(replace(batch, ids=ids))


def test_instructions_must_be_as_many_as_clips(stage3, make_batch):
    batch = make_batch(instruction=True)

    with pytest.raises(SpliceError, match="1 instructions for 2 clips"):
        stage3(replace(batch, instruction_ids=batch.instruction_ids[:1]))


def test_loss_without_labels_is_refused(stage2, make_batch):
    with pytest.raises(SpliceError, match="no labels"):
        stage2(replace(make_batch(), labels=None))


def test_placeholder_is_no_id_of_any_vocabulary():
    assert MEDIA_ID < 0


def test_language_model_takes_its_type_from_the_argument(tiny, make_batch):
    model = VideoChat(tiny, stage=2, dtype=torch.bfloat16)

    assert next(model.language_model.parameters()).dtype == torch.bfloat16
    assert next(model.video_encoder.parameters()).dtype == torch.float32
    assert model(make_batch())["loss"].dtype == torch.float32


def test_whole_model_runs_in_half_precision(tiny, make_batch):
    model = VideoChat(tiny, stage=3).bfloat16()

    assert model(make_batch(instruction=True))["loss"].isfinite()


@pytest.fixture
def numeric_bos(tiny):
    return VideoChat(replace(tiny, bos="reference"), stage=3).eval()


def starting_with_bos(batch):
    return replace(batch, ids=torch.cat([torch.ones_like(batch.ids[:, :1]), batch.ids[:, 1:]], 1))


def test_sequence_begins_with_the_embedding_of_bos(stage3, make_batch):
    batch = starting_with_bos(make_batch(instruction=True))

    first = stage3.embedded(batch)[:, 0]

    assert torch.equal(first, stage3.language_model.get_input_embeddings()(batch.ids[:, 0]))


@pytest.mark.parametrize("side", ["left", "right"])
def test_reference_bos_is_its_number_in_every_channel(numeric_bos, make_batch, side):
    batch = pad(starting_with_bos(make_batch(instruction=True)), side)
    embedded, first = numeric_bos.embedded(batch), 4 if side == "left" else 0

    numeric_bos.numeric_bos = False

    rest = [index for index in range(batch.ids.shape[1]) if index != first]
    assert torch.equal(embedded[:, first], torch.ones(2, 128))
    assert torch.equal(embedded[:, rest], numeric_bos.embedded(batch)[:, rest])


def test_reference_bos_leaves_stage_2_alone(tiny):
    model = VideoChat(replace(tiny, bos="reference"), stage=2)

    assert not model.numeric_bos


def test_reference_bos_refuses_a_sequence_that_begins_otherwise(numeric_bos, make_batch):
    with pytest.raises(SpliceError, match=r"begin with the language model's BOS \(1\), not with"):
        numeric_bos(make_batch(instruction=True))


def test_stage_one_is_refused(tiny):
    with pytest.raises(ConfigError, match="stages 2 and 3, not 1"):
        VideoChat(tiny, stage=1)
