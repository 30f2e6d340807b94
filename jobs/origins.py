"""Where samples come from: the rows behind a micro-batch, for reports and for blank ones."""

from dataclasses import dataclass
from typing import Any

import torch

from jobs.data.dataset import BadClip, ClipDataset, Sample, SampleKey
from jobs.data.loader import Batch


@dataclass(frozen=True)
class Origins:
    """Says what is behind the samples of a dataset.

    Attributes:
        dataset: The dataset.
    """

    dataset: ClipDataset

    def blank(self, batch: Batch) -> Batch:
        """The unreadable samples of a micro-batch with black frames in place of theirs.

        It has the shapes and the kind of media that the other ranks have, for a forward pass
        whose loss does not count.
        """
        return Batch(tuple(self._blank(bad) for bad in batch.bad))

    def _blank(self, bad: BadClip) -> Sample:
        _, item = self.dataset.find(bad.key.index)
        frames, size_px = 1 if item.kind == "image" else self.dataset.frames, self.dataset.size_px
        video_TCHW = torch.zeros(frames, 3, size_px, size_px)
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
        own, row = self.dataset.locate(key.index)
        item = own.items[row]
        return {
            "set": own.name,
            "path": None if item.media is None else str(own.root / item.media),
            "row": row,
            "start_s": getattr(item, "start_s", None),
            "end_s": getattr(item, "end_s", None),
        }
