"""Where samples come from: the rows behind a micro-batch, for reports."""

from dataclasses import dataclass
from typing import Any

from jobs.data.dataset import ClipDataset, SampleKey
from jobs.data.loader import Batch


@dataclass(frozen=True)
class Origins:
    """Says what is behind the samples of a dataset.

    Attributes:
        dataset: The dataset.
    """

    dataset: ClipDataset

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
