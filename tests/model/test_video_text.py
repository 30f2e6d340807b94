import pytest
import torch

from model.errors import SpliceError


@pytest.fixture
def pairs():
    ids = torch.randint(1, 199, (3, 8))
    return torch.randn(3, 4, 3, 32, 32), ids, torch.ones_like(ids), torch.arange(3)


def test_loss_is_the_sum_of_three(stage1, pairs):
    losses = stage1(*pairs)

    assert list(losses) == ["vtc", "vtm", "caption", "loss"]
    total = losses["vtc"] + losses["vtm"] + losses["caption"]
    assert torch.equal(losses["loss"], total)
    assert total.isfinite()


def test_every_trainable_weight_gets_a_gradient(stage1, pairs):
    stage1(*pairs)["loss"].backward()

    lacking = [n for n, p in stage1.named_parameters() if p.requires_grad and p.grad is None]
    assert lacking == []


def test_video_encoder_is_frozen_and_its_norm_is_not(stage1, pairs):
    stage1.train()
    stage1(*pairs)["loss"].backward()

    assert all(p.grad is None for p in stage1.video_encoder.parameters())
    assert not stage1.video_encoder.training
    assert stage1.visual_norm.weight.grad is not None


@pytest.mark.parametrize(("before", "after"), [(0.9, 0.5), (0.0, 0.001), (0.1, 0.1)])
def test_temperature_stays_in_its_range(stage1, pairs, before, after):
    stage1.temperature.data.fill_(before)

    stage1(*pairs)

    assert stage1.temperature.item() == pytest.approx(after)


def test_image_is_repeated_under_each_frame_embedding(stage1):
    image = torch.randn(2, 1, 3, 32, 32)

    assert stage1.visual(image).shape == (2, 4 * 16, 128)


def test_other_number_of_frames_names_both(stage1):
    with pytest.raises(SpliceError, match="8 frames, stage 1 has embeddings for 4"):
        stage1.visual(torch.randn(1, 8, 3, 32, 32))


def test_batch_of_one_caption_still_has_a_finite_loss(stage1, pairs):
    video, ids, mask, _ = pairs

    losses = stage1(video, ids, mask, torch.zeros(3, dtype=torch.int64))

    assert losses["loss"].isfinite()


def test_match_loss_ignores_pairs_without_negative(stage1, pairs):
    video, ids, mask, _ = pairs
    visual = stage1.visual(video)
    none = torch.zeros(3, dtype=torch.bool)

    losses = [
        stage1.match(visual, (ids, mask), (torch.tensor(n), torch.tensor(n)), none)
        for n in ([1, 2, 0], [2, 0, 1])
    ]

    assert torch.allclose(*losses)


def test_caption_begins_with_the_decoder_token_whatever_stood_there(stage1, pairs):
    video, ids, mask, _ = pairs
    states = stage1.qformer.queries(stage1.visual(video))
    other = ids.clone()
    other[:, 0] = 7

    assert torch.equal(stage1.caption(states, ids, mask), stage1.caption(states, other, mask))


def test_caption_loss_ignores_padding(stage1, pairs):
    video, ids, mask, _ = pairs
    states = stage1.qformer.queries(stage1.visual(video))
    longer = torch.nn.functional.pad(ids, (0, 3)), torch.nn.functional.pad(mask, (0, 3))

    assert torch.allclose(stage1.caption(states, ids, mask), stage1.caption(states, *longer))


def test_losses_are_single_precision_in_a_model_of_half(stage1, pairs):
    losses = stage1.bfloat16()(*pairs)

    assert {loss.dtype for loss in losses.values()} == {torch.float32}
