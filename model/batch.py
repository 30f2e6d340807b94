"""One batch of sequences with their clips.

Letters: B sequences, L tokens, N clips, T frames, C colours, H W pixels, I instruction tokens.
"""

from collections.abc import Callable, Sequence
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
    """(N, T, C, H, W), all clips: grey levels in uint8, or normalised pixels in float; None
    without clips."""
    instruction_ids: Tensor | None = None
    """(N, I) int64 ids of the QFormer's vocabulary, one row a clip; None without instructions."""
    instruction_mask: Tensor | None = None
    """(N, I) int64, 1 for a token, 0 for padding."""

    @property
    def num_tokens(self) -> int:
        """Tokens of all sequences, without padding; asks the device, so ask on the CPU."""
        return int(self.mask.sum())

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "ChatBatch":
        """Give the same batch on another device.

        Args:
            device: Where to.
            non_blocking: Do not wait for the copy; out of pinned memory only.
        """
        return self._each(lambda value: value.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "ChatBatch":
        """Give the same batch in memory that a GPU copies from while the host goes on."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "ChatBatch":
        values: dict[str, Tensor | None] = {f.name: getattr(self, f.name) for f in fields(self)}
        changed = {name: change(value) for name, value in values.items() if value is not None}
        return replace(self, **changed)


def pad_prompts(
    prompts: Sequence[TokenizedPrompt], *, pad_id: int, side: str = "right", multiple: int = 1
) -> ChatBatch:
    """Pad sequences to the longest, or somewhat further.

    Args:
        prompts: At least one.
        pad_id: Id to pad with; never looked at.
        side: "right" to train, "left" to generate.
        multiple: The length that comes out is one of it, so that lengths repeat.

    Returns:
        A batch without clips; add them with `dataclasses.replace`.
    """
    longest = rounded_up(max(len(prompt.ids) for prompt in prompts), multiple)
    ids, masks, labels = [], [], []
    for prompt in prompts:
        missing = longest - len(prompt.ids)
        before, after = (missing, 0) if side == "left" else (0, missing)
        ids.append([pad_id] * before + list(prompt.ids) + [pad_id] * after)
        masks.append([0] * before + [1] * len(prompt.ids) + [0] * after)
        labels.append([IGNORED_LABEL] * before + list(prompt.labels) + [IGNORED_LABEL] * after)
    return ChatBatch(torch.tensor(ids), torch.tensor(masks), torch.tensor(labels))


def rounded_up(length: int, multiple: int) -> int:
    """Give the next multiple of `multiple` that is no smaller than `length`."""
    return -(-length // multiple) * multiple
