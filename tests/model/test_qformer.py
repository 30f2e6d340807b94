from dataclasses import replace

import pytest
import torch

from model.errors import ModelError
from model.qformer import QFormer

VISUAL_WIDTH = 24


def build(tiny, *, extra=False, **changes):
    config = replace(tiny.qformer, **changes)
    qformer = QFormer(
        config, VISUAL_WIDTH, extra_queries=extra, text_branch=True, caption_head=True
    )
    torch.nn.init.normal_(qformer.text_embedding.words.weight)
    return qformer.eval()


@pytest.fixture
def qformer(tiny):
    return build(tiny)


@pytest.fixture
def visual():
    return torch.randn(2, 10, VISUAL_WIDTH)


@pytest.fixture
def text():
    return torch.randint(1, 199, (2, 6)), torch.ones(2, 6, dtype=torch.int64)


def padded(text, *, by=3):
    ids, mask = text
    return (
        torch.cat([ids, torch.zeros(2, by, dtype=torch.int64)], dim=1),
        torch.cat([mask, torch.zeros(2, by, dtype=torch.int64)], dim=1),
    )


def test_each_path_has_its_shape(qformer, visual, text):
    states = qformer.queries(visual)

    assert states.hidden.shape == (2, 8, 128)
    assert [kv.key.shape for kv in states.past] == [(2, 4, 8, 32)] * 2
    assert qformer.text(*text).shape == (2, 6, 128)
    assert qformer.multimodal(visual, *text).shape == (2, 14, 128)
    assert qformer.caption_logits(states.past, *text).shape == (2, 6, 200)


def test_visual_tokens_are_all_queries_with_and_without_text(tiny, visual, text):
    qformer = build(tiny, extra=True)

    assert qformer.visual_tokens(visual).shape == (2, 16, 128)
    assert qformer.visual_tokens(visual, *text).shape == (2, 16, 128)


def test_instruction_changes_the_visual_tokens(tiny, visual, text):
    qformer = build(tiny, extra=True)

    assert not torch.allclose(qformer.visual_tokens(visual), qformer.visual_tokens(visual, *text))


def test_extra_queries_begin_at_zero(tiny):
    assert build(tiny, extra=True).extra_query_tokens.count_nonzero() == 0


def test_queries_read_the_video(qformer, visual):
    assert not torch.allclose(qformer.queries(visual).hidden, qformer.queries(visual + 1).hidden)


def test_text_padding_changes_nothing(qformer, visual, text):
    states = qformer.queries(visual)
    longer = padded(text)

    for before, after in [
        (qformer.text(*text), qformer.text(*longer)[:, :6]),
        (qformer.multimodal(visual, *text), qformer.multimodal(visual, *longer)[:, :14]),
        (
            qformer.caption_logits(states.past, *text),
            qformer.caption_logits(states.past, *longer)[:, :6],
        ),
    ]:
        assert torch.allclose(before, after, atol=1e-5)


def test_caption_does_not_see_the_future(qformer, visual, text):
    ids, mask = text
    changed = ids.clone()
    changed[:, 4] = (ids[:, 4] + 1) % 200
    past = qformer.queries(visual).past

    before = qformer.caption_logits(past, ids, mask)
    after = qformer.caption_logits(past, changed, mask)

    assert torch.allclose(before[:, :4], after[:, :4], atol=1e-6)
    assert not torch.allclose(before[:, 4], after[:, 4], atol=1e-3)


def test_caption_sees_the_queries(qformer, visual, text):
    before = qformer.caption_logits(qformer.queries(visual).past, *text)
    after = qformer.caption_logits(qformer.queries(visual + 1).past, *text)

    assert not torch.allclose(before, after, atol=1e-4)


def test_cross_attention_stands_in_every_second_layer_if_configured(tiny):
    qformer = build(tiny, layers=4, cross_attention_every=2)

    has = [layer.cross_attention is not None for layer in qformer.layers]

    assert has == [True, False, True, False]


def test_drop_path_grows_to_the_last_layer(tiny):
    qformer = build(tiny, layers=3, drop_path=0.2)

    rates = [layer.query_ffn.output.drop_path.rate for layer in qformer.layers]

    assert rates == [0.0, 0.1, 0.2]


def test_dropout_acts_in_training_only(qformer, visual):
    assert torch.equal(qformer.queries(visual).hidden, qformer.queries(visual).hidden)
    qformer.train()
    assert not torch.equal(qformer.queries(visual).hidden, qformer.queries(visual).hidden)


def test_text_longer_than_the_positions_names_both_numbers(qformer):
    ids = torch.ones(1, 65, dtype=torch.int64)

    with pytest.raises(ModelError, match="65 tokens, the QFormer has 64 positions"):
        qformer.text(ids, ids)


def test_qformer_without_text_branch_refuses_text(tiny, text):
    qformer = QFormer(tiny.qformer, VISUAL_WIDTH, extra_queries=True, text_branch=False)

    with pytest.raises(ModelError, match="reads no text"):
        qformer.text(*text)
