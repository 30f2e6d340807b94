"""Losses that tell matching pairs of video and text from others.

Letters: B pairs here, N pairs on all ranks, Q query tokens, E width of the common space.
Notable: pairs with the same index share a caption and are all positives. The gather sums
gradients over ranks, so that after averaging they equal those of one process with the
whole batch; if told to, it keeps each rank's own part, 1/world_size of that, as the original
does. A rank that could not read a clip brings fewer pairs; the ranks tell each other how
many, on the host, which needs the number for shapes.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import functional

from model.ranks import host_group

SMALLEST_WEIGHT = 1e-4


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, local: Tensor, rows: Sequence[int], summed: bool) -> Tensor:  # noqa: ANN401, FBT001 - torch's context, which takes no keywords
        ctx.rows, ctx.summed = rows, summed
        return _gathered(local, rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401 - torch's context
        if ctx.summed:
            gradient = gradient.clone().contiguous()
            distributed.all_reduce(gradient)
        rank = distributed.get_rank()
        first = sum(ctx.rows[:rank])
        return gradient[first : first + ctx.rows[rank]], None, None


def rows_per_rank(local: Tensor) -> list[int]:
    """Tell how many rows of a tensor each rank has; all ranks must ask."""
    if not _many_ranks():
        return [len(local)]
    own = torch.tensor([len(local)])
    rows = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(rows, own, group=host_group())
    return [int(count) for count in torch.cat(rows).tolist()]


def gather_with_gradient(local: Tensor, rows: Sequence[int], *, summed: bool = True) -> Tensor:
    """Stack a tensor from all ranks, of which each has `rows`; alone, give it back.

    Args:
        local: This rank's part.
        rows: How many rows each rank has.
        summed: The gradient is the sum of what all ranks say of this rank's part; else only
            what this rank says of it.
    """
    if not _many_ranks():
        return local
    out: Tensor = _Gather.apply(local, rows, summed)  # type: ignore[no-untyped-call]
    return out


def gather(local: Tensor, rows: Sequence[int]) -> Tensor:
    """Stack a tensor from all ranks, of which each has `rows`, without gradient."""
    return _gathered(local, rows) if _many_ranks() else local


def similarity(video_BQE: Tensor, text_BE: Tensor, temperature: Tensor) -> Tensor:
    """Compare each video with each text.

    Returns:
        float32 (videos, texts): cosines over the temperature, averaged over the queries.
        In half precision a cross entropy over thousands of pairs would lose its gradient.
    """
    video_BQE = functional.normalize(video_BQE.float(), dim=-1)
    text_BE = functional.normalize(text_BE.float(), dim=-1)
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
def negative_weights(similarity_BB: Tensor, idx_B: Tensor) -> Tensor:
    """Give how likely each candidate (column) is drawn for each row; 0 for the row's index."""
    weights_BB = functional.softmax(similarity_BB.float(), dim=1) + SMALLEST_WEIGHT
    return weights_BB.masked_fill(idx_B[:, None] == idx_B, 0)


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
    weights_BB = negative_weights(similarity_BB, idx_B)
    exists_B = weights_BB.sum(dim=1) > 0
    drawable_BB = weights_BB.masked_fill(~exists_B[:, None], 1.0)
    # What torch.multinomial does, without its checks, for which the host waits for a GPU.
    draws_BB = torch.empty_like(drawable_BB, memory_format=torch.contiguous_format).exponential_()
    return (drawable_BB / draws_BB).argmax(dim=1), exists_B


def _many_ranks() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _gathered(local: Tensor, rows: Sequence[int]) -> Tensor:
    """Pads to the longest, because a collective hangs or mixes up rows of unequal shapes."""
    padded = local.new_zeros(max(rows), *local.shape[1:])
    padded[: len(local)] = local
    parts = [torch.empty_like(padded) for _ in rows]
    distributed.all_gather(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts, rows, strict=True)])
