import pytest
import torch

from model.contrastive import (
    contrastive_loss,
    draw_negatives,
    gather,
    gather_with_gradient,
    negative_weights,
    rows_per_rank,
    similarity,
)
from tests.ranks import in_ranks


def pairs(batch):
    generator = torch.Generator().manual_seed(3)
    video = torch.randn(batch, 2, 4, generator=generator)
    return video, torch.randn(batch, 4, generator=generator), torch.arange(batch) // 2


def test_similarity_is_the_mean_cosine_of_the_queries_over_the_temperature():
    video = torch.tensor([[[2.0, 0.0], [0.0, 3.0]]])
    text = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])

    assert similarity(video, text, torch.tensor(0.1)).tolist() == [[5.0, -5.0]]


def test_pairs_with_one_caption_are_all_positives():
    sure = torch.tensor([[9.0, 9.0, -9.0], [9.0, 9.0, -9.0], [-9.0, -9.0, 9.0]])

    shared = contrastive_loss(sure, torch.tensor([7, 7, 8]))

    two_thirds_of_log_2 = 2 / 3 * torch.tensor(2.0).log()
    assert torch.allclose(shared, two_thirds_of_log_2, atol=1e-5)
    assert contrastive_loss(sure, torch.tensor([7, 6, 8])) > 0.4


def test_loss_averages_both_directions():
    scores = torch.tensor([[1.0, 0.0], [3.0, 2.0]])
    idx = torch.tensor([0, 1])

    expected = (
        torch.nn.functional.cross_entropy(scores, idx)
        + torch.nn.functional.cross_entropy(scores.T, idx)
    ) / 2

    assert torch.allclose(contrastive_loss(scores, idx), expected)


def test_negative_never_shares_the_caption():
    idx = torch.tensor([0, 1, 0, 2, 1, 0])
    alike = 20.0 * (idx[:, None] == idx).float()

    for _ in range(50):
        drawn, exists = draw_negatives(alike, idx)
        assert not (idx[drawn] == idx).any()
        assert exists.all()


def test_negative_is_drawn_by_similarity():
    scores = torch.tensor([[0.0, 9.0, 0.0, 0.0]]).expand(4, 4)

    drawn = torch.stack([draw_negatives(scores, torch.arange(4))[0] for _ in range(200)])

    assert (drawn[:, [0, 2, 3]] == 1).float().mean() > 0.95


def test_row_without_negative_says_so():
    _, exists = draw_negatives(torch.zeros(2, 2), torch.tensor([5, 5]))

    assert exists.tolist() == [False, False]


def _gradients(video, text, idx):
    video.requires_grad_()
    text.requires_grad_()
    rows = rows_per_rank(idx)
    scores = similarity(
        gather_with_gradient(video, rows), gather_with_gradient(text, rows), torch.tensor(0.1)
    )
    loss = contrastive_loss(scores, gather(idx, rows))
    loss.backward()
    return loss.detach(), video.grad, text.grad


def _rank(rank, results, first_ranks):
    mine = slice(first_ranks, None) if rank else slice(first_ranks)
    video, text, idx = pairs(4)
    torch.save(_gradients(video[mine].clone(), text[mine].clone(), idx[mine]), f"{results}{rank}")


# A rank of which a clip could not be read has fewer pairs than the others.
@pytest.mark.parametrize("first_ranks", [2, 3])
def test_two_ranks_average_to_the_gradient_of_one(tmp_path, first_ranks):
    loss, video_gradient, text_gradient = _gradients(*pairs(4))

    in_ranks(_rank, 2, str(tmp_path / "result"), first_ranks)
    ranks = [torch.load(tmp_path / f"result{rank}") for rank in (0, 1)]

    # A rank's gradient is divided by the world size when gradients are averaged.
    assert torch.allclose(torch.stack([ranks[0][0], ranks[1][0]]), loss.expand(2))
    assert torch.allclose(torch.cat([ranks[0][1], ranks[1][1]]) / 2, video_gradient, atol=1e-6)
    assert torch.allclose(torch.cat([ranks[0][2], ranks[1][2]]) / 2, text_gradient, atol=1e-6)


def test_weights_of_negatives_are_likelihoods_without_the_own_caption():
    weights = negative_weights(torch.zeros(2, 2), torch.tensor([0, 1]))

    assert torch.allclose(weights, torch.tensor([[0.0, 0.5001], [0.5001, 0.0]]))
