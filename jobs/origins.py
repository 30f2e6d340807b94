"""Where samples come from: the rows behind a micro-batch, for reports and for blank ones."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch

from jobs.data.dataset import BadClip, Sample, SampleKey
from jobs.data.items import Item, MediaSet
from jobs.data.loader import Batch


@dataclass(frozen=True)
class Origin:
    """One row of a corpus.

    Attributes:
        media_set: The set that it stands in.
        row: Its place there, from 0.
        item: What it says.
    """

    media_set: MediaSet
    row: int
    item: Item


class Origins:
    """Finds the rows of a corpus by the keys that its dataset goes by.

    Args:
        sets: Of the corpus, in the dataset's order.
        frames: Frames of a video.
        size_px: Height and width of a frame.
    """

    def __init__(self, sets: Sequence[MediaSet], *, frames: int, size_px: int) -> None:
        self._sets, self._frames, self._size_px = tuple(sets), frames, size_px
        self._ends = list(accumulate(len(each.items) for each in sets))

    def find(self, key: SampleKey) -> Origin:
        """The row of a key; raises IndexError where there is none."""
        place = bisect_right(self._ends, key.index)
        own = self._sets[place]
        row = key.index - (self._ends[place - 1] if place else 0)
        return Origin(own, row, own.items[row])

    def blank(self, batch: Batch) -> Batch:
        """The unreadable samples of a micro-batch with black frames in place of theirs.

        It has the shapes and the kind of media that the other ranks have, for a forward pass
        whose loss does not count.
        """
        return Batch(tuple(self._blank(bad) for bad in batch.bad))

    def _blank(self, bad: BadClip) -> Sample:
        item = self.find(bad.key).item
        frames = 1 if item.kind == "image" else self._frames
        video_TCHW = torch.zeros(frames, 3, self._size_px, self._size_px)
        return Sample(video_TCHW, item, bad.key, bad.set_name, tuple(map(float, range(frames))))

    def describe(self, batch: Batch) -> dict[str, list[dict[str, Any]]]:
        """What a micro-batch held, as JSON: set, path, row and seconds of each sample."""
        return {
            "samples": [
                self._described(each.key) | {"frames_s": list(each.seconds)}
                for each in batch.samples
            ],
            "unreadable": [
                self._described(each.key) | {"error": f"{each.error_class}: {each.text}"}
                for each in batch.bad
            ],
        }

    def _described(self, key: SampleKey) -> dict[str, Any]:
        origin = self.find(key)
        item, own = origin.item, origin.media_set
        return {
            "set": own.name,
            "path": None if item.media is None else str(own.root / item.media),
            "row": origin.row,
            "start_s": getattr(item, "start_s", None),
            "end_s": getattr(item, "end_s", None),
        }
