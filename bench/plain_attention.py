"""Attention as it is written in papers, which keeps the whole matrix of weights: the baseline.

`with PlainAttention():` swaps the fused attention of whatever model runs inside for this form,
so that both forms are the same modules with the same weights.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode


def plain_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
) -> Tensor:
    """softmax(query key^T / sqrt(D)) value, step by step (arXiv 1706.03762).

    Args:
        query: (..., L, D).
        key: (..., S, D).
        value: (..., S, D).
        attn_mask: bool, broadcast to (..., L, S); True may be looked at.
        dropout_p: Share of the weights that are dropped.
    """
    scores = (query * (1 / math.sqrt(query.shape[-1]))) @ key.transpose(-2, -1)
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -math.inf)
    return functional.dropout(torch.softmax(scores, dim=-1), dropout_p) @ value


class PlainAttention(TorchFunctionMode):
    """Within it `scaled_dot_product_attention` is `plain_attention`.

    Attributes:
        calls: How many attentions were swapped.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the called function gives
        """Runs a function of torch, or the plain form in its place."""
        if func is functional.scaled_dot_product_attention:
            self.calls += 1
            func = plain_attention
        return func(*args, **(kwargs or {}))
