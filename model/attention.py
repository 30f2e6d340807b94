"""The language model's attention: transformers' own, which need not look whether to mask.

Notable: transformers asks the mask itself whether it hides anything, in each forward pass, and the
host waits for the GPU to say. Here who made the batch has looked (`model.batch.Places`). A mask of
four dimensions goes through transformers as it is; one without elements stands for none.

Letters: B sequences, L tokens.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

CAUSAL = "told_sdpa"
"""What transformers calls it; see `register`."""


def register() -> str:
    """Make the attention known to transformers; give its name, for `attn_implementation`.

    Where a language model gets an ordinary mask, as when it generates, nothing is different.
    """
    AttentionInterface.register(CAUSAL, _attend)
    AttentionMaskInterface.register(CAUSAL, sdpa_mask)
    return CAUSAL


def causal_mask(mask_BL: Tensor, *, is_padded: bool) -> Tensor:
    """Give the mask with which each token sees itself and the tokens before it.

    Args:
        mask_BL: int64, 1 for a token, 0 for padding.
        is_padded: Whether there is any padding. Without it no mask is needed, and attention
            takes the kernels that know of causality by themselves.

    Returns:
        bool, (B, 1, L, L), True where a token may look; or (0, 0, 0, 0).
    """
    if not is_padded:
        return mask_BL.new_empty((0, 0, 0, 0), dtype=torch.bool)
    length = mask_BL.shape[1]
    square = torch.ones(length, length, dtype=torch.bool, device=mask_BL.device)
    return square.tril() & mask_BL.bool()[:, None, None]


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **how: Any,  # noqa: ANN401 - transformers' signature
) -> tuple[Tensor, None]:
    hides_nothing = attention_mask is not None and not attention_mask.numel()
    mask = None if hides_nothing else attention_mask
    attended: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, mask, **how)
    return attended
