"""One batch of sequences with their clips.

Letters: B sequences, L tokens, N clips, T frames, C colours, H W pixels, I instruction tokens,
M placeholders, K labels.
Notable: what the model must know of the values themselves (how many placeholders, which labels
count) is found out when a batch is made, on the CPU; asking a GPU for it would make the host wait
for all that the GPU still has to do.
"""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field, fields
from typing import TypeVar

import torch
from torch import Tensor

from model.errors import SpliceError
from model.prompt import IGNORED_LABEL, MEDIA_ID, TokenizedPrompt


@dataclass(frozen=True)
class Places:
    """What the values of a batch say; known to the host wherever the batch is."""

    media: Tensor
    """(M,) int64 places of the placeholders among all B * L tokens, row by row."""
    before_labels: Tensor
    """(K,) int64 places, among all B * L tokens, of those that a label follows."""
    media_in_row: tuple[int, ...]
    """Placeholders in each sequence."""
    first_ids: tuple[int, ...]
    """The id that each sequence begins with."""
    is_padded: bool
    """Some sequence is shorter than the tensors."""

    @classmethod
    def of(cls, ids: Tensor, mask: Tensor, labels: Tensor | None) -> "Places":
        """Look at the values; where they are on a GPU, the host waits for it.

        Raises:
            SpliceError: The tensors have not the same shape.
        """
        shapes = [tuple(each.shape) for each in (ids, mask, labels) if each is not None]
        if len(set(shapes)) > 1:
            raise SpliceError(f"ids, mask and labels differ in shape: {shapes}")
        media_BL = ids == MEDIA_ID
        before_labels_BL = torch.zeros_like(media_BL)
        if labels is not None:
            before_labels_BL[:, :-1] = labels[:, 1:] != IGNORED_LABEL
        first_B1 = mask.argmax(dim=1, keepdim=True)
        return cls(
            media=media_BL.flatten().nonzero().flatten(),
            before_labels=before_labels_BL.flatten().nonzero().flatten(),
            media_in_row=tuple(media_BL.sum(dim=1).tolist()),
            first_ids=tuple(ids.gather(1, first_B1).flatten().tolist()),
            is_padded=not bool(mask.all()),
        )


Held = TypeVar("Held", Places, "ChatBatch")


@dataclass(frozen=True)
class ChatBatch:
    """What `VideoChat` reads.

    The clips follow the order of the placeholders in the sequences: row by row, from the
    left. A sequence without placeholders has no clip. Make it on the CPU and move it with `to`.
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
    places: Places = field(init=False, repr=False, compare=False)
    """Of the values of `ids`, `mask` and `labels`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "places", Places.of(self.ids, self.mask, self.labels))

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
        """The same batch with other tensors of the same values; they are not looked at again."""
        changed = _changed(self, change)
        object.__setattr__(changed, "places", _changed(self.places, change))
        return changed


def _changed(of: Held, change: Callable[[Tensor], Tensor]) -> Held:
    """A copy with each tensor changed."""
    changed = copy(of)
    for each in fields(of):
        value = getattr(of, each.name)
        if isinstance(value, Tensor):
            object.__setattr__(changed, each.name, change(value))
    return changed


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
