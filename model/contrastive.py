"""Losses that tell matching pairs of video and text from others.

Letters: B pairs here, N pairs on all ranks, Q query tokens, E width of the common space.
Notable: pairs with the same index share a caption and are all positives. The gather sums
gradients over ranks, so that after averaging they equal those of one process with the
whole batch (the reference's are 1/world_size of that behind the gather).
"""

from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import functional

SMALLEST_WEIGHT = 1e-4


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:  # noqa: ANN401 - torch's context
        ctx.rows = len(local)
        return _gathered(local)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401 - torch's context
        summed = gradient.clone().contiguous()
        distributed.all_reduce(summed)
        first = distributed.get_rank() * ctx.rows
        return summed[first : first + ctx.rows]


def gather_with_gradient(local: Tensor) -> Tensor:
    """Stack a tensor of equal shape from all ranks; alone, give it back."""
    if not _many_ranks():
        return local
    out: Tensor = _Gather.apply(local)  # type: ignore[no-untyped-call]
    return out


def gather(local: Tensor) -> Tensor:
    """Stack a tensor of equal shape from all ranks, without gradient."""
    return _gathered(local) if _many_ranks() else local


def similarity(video_BQE: Tensor, text_BE: Tensor, temperature: Tensor) -> Tensor:
    """Compare each video with each text.

    Returns:
        (videos, texts): cosines over the temperature, averaged over the queries.
    """
    video_BQE = functional.normalize(video_BQE, dim=-1)
    text_BE = functional.normalize(text_BE, dim=-1)
    return torch.einsum("bqe,te->bqt", video_BQE, text_BE).mean(dim=1) / temperature


def contrastive_loss(similarity_NN: Tensor, idx_N: Tensor) -> Tensor:
    """Cross entropy of video to text and text to video, averaged.

    Args:
        similarity_NN: Videos by texts.
        idx_N: Equal for pairs that share a caption; each such pair is a target alike.
    """
    same_NN = (idx_N[:, None] == idx_N).to(similarity_NN.dtype)
    target_NN = same_NN / same_NN.sum(dim=1, keepdim=True)
    to_text = functional.cross_entropy(similarity_NN, target_NN)
    to_video = functional.cross_entropy(similarity_NN.T, target_NN)
    return (to_text + to_video) / 2


@torch.no_grad()
def draw_negatives(similarity_BB: Tensor, idx_B: Tensor) -> tuple[Tensor, Tensor]:
    """Draw a hard negative for each row: the more alike, the more likely.

    Args:
        similarity_BB: Rows by candidates, of the local batch.
        idx_B: A candidate with the row's index is never drawn.

    Returns:
        The drawn candidates (int64, (B,)) and whether the row had any to draw from
        (bool, (B,)).
    """
    weights_BB = functional.softmax(similarity_BB.float(), dim=1) + SMALLEST_WEIGHT
    weights_BB = weights_BB.masked_fill(idx_B[:, None] == idx_B, 0)
    exists_B = weights_BB.sum(dim=1) > 0
    drawable_BB = weights_BB.masked_fill(~exists_B[:, None], 1.0)
    return torch.multinomial(drawable_BB, 1).squeeze(1), exists_B


def _many_ranks() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _gathered(local: Tensor) -> Tensor:
    parts = [torch.empty_like(local) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, local.contiguous())
    return torch.cat(parts)
