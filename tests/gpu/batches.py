"""Batches for the tiny preset, the same on every device."""

import torch

from jobs.data.dataset import Sample, SampleKey
from jobs.data.items import CaptionItem
from jobs.data.loader import Batch
from model.batch import ChatBatch
from model.presets import PRESETS
from model.prompt import IGNORED_LABEL, MEDIA_ID

TINY = PRESETS["tiny"]
ROWS, WORDS, TRAINED = 2, 15, 4
VOCABULARY = 199
"""Of the tiny preset, less one."""


def chat_batch(number: int, *, instruction: bool, padded: bool = True) -> ChatBatch:
    """Two conversations of a clip each, on the CPU; the second one is shorter if padded."""
    draw = torch.Generator().manual_seed(number)
    words = torch.randint(3, VOCABULARY, (ROWS, WORDS), generator=draw)
    media = torch.full((ROWS, TINY.num_visual_tokens), MEDIA_ID)
    ids = torch.cat([words[:, :1], media, words[:, 1:]], dim=1)
    mask, labels = torch.ones_like(ids), torch.full_like(ids, IGNORED_LABEL)
    labels[:, -TRAINED:] = ids[:, -TRAINED:]
    if padded:
        mask[1, -2:], labels[1, -2:] = 0, IGNORED_LABEL
    asked = torch.randint(1, VOCABULARY, (ROWS, 8), generator=draw) if instruction else None
    return ChatBatch(
        ids,
        mask,
        labels,
        torch.randint(256, (ROWS, 4, 3, 32, 32), generator=draw, dtype=torch.uint8),
        asked,
        None if asked is None else torch.ones_like(asked),
    )


def micro_batch(number: int, *, instruction: bool) -> Batch:
    """The same as a loader hands it over."""
    sample = Sample(None, CaptionItem("text", None, ""), SampleKey(0, number), "set")
    chat = chat_batch(number, instruction=instruction)
    batch = Batch((sample,) * ROWS, number=number, arguments={"batch": chat})
    return batch.pin_memory() if torch.cuda.is_available() else batch
