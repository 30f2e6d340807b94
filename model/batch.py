"""One batch of sequences with their clips.

Letters: B sequences, L tokens, N clips, T frames, C colours, H W pixels, I instruction tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from model.prompt import IGNORED_LABEL, TokenizedPrompt


@dataclass(frozen=True)
class ChatBatch:
    """What `VideoChat` reads.

    The clips follow the order of the placeholders in the sequences: row by row, from the
    left. A sequence without placeholders has no clip.
    """

    ids: Tensor
    """(B, L) int64 token ids; `MEDIA_ID` where a visual token goes."""
    mask: Tensor
    """(B, L) int64, 1 for a token, 0 for padding."""
    labels: Tensor | None = None
    """(B, L) int64 ids to predict at their own position; -100 where not trained on."""
    video: Tensor | None = None
    """(N, T, C, H, W) float, normalised pixels of all clips; None without clips."""
    instruction_ids: Tensor | None = None
    """(N, I) int64 ids of the QFormer's vocabulary, one row a clip; None without instructions."""
    instruction_mask: Tensor | None = None
    """(N, I) int64, 1 for a token, 0 for padding."""

    def to(self, device: torch.device | str) -> "ChatBatch":
        """Give the same batch on another device."""
        values: dict[str, Tensor | None] = {f.name: getattr(self, f.name) for f in fields(self)}
        moved = {name: value.to(device) for name, value in values.items() if value is not None}
        return replace(self, **moved)


def pad_prompts(
    prompts: Sequence[TokenizedPrompt], *, pad_id: int, side: str = "right"
) -> ChatBatch:
    """Pad sequences to the longest.

    Args:
        prompts: At least one.
        pad_id: Id to pad with; never looked at.
        side: "right" to train, "left" to generate.

    Returns:
        A batch without clips; add them with `dataclasses.replace`.
    """
    longest = max(len(prompt.ids) for prompt in prompts)
    ids, masks, labels = [], [], []
    for prompt in prompts:
        missing = longest - len(prompt.ids)
        before, after = (missing, 0) if side == "left" else (0, missing)
        ids.append([pad_id] * before + list(prompt.ids) + [pad_id] * after)
        masks.append([0] * before + [1] * len(prompt.ids) + [0] * after)
        labels.append([IGNORED_LABEL] * before + list(prompt.labels) + [IGNORED_LABEL] * after)
    return ChatBatch(torch.tensor(ids), torch.tensor(masks), torch.tensor(labels))
