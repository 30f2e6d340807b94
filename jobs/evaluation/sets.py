"""The sets of an evaluation, opened as its parts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from jobs.contract.evaluation import Evaluate, Task
from jobs.data.annotations import open_set
from jobs.data.dataset import ClipDataset
from jobs.data.items import CaptionItem, Item, MediaSet
from jobs.evaluation.survey import Part


@dataclass(frozen=True)
class Whole(Sequence[Item]):
    """Rows whose `start` and `end` are not meant: MVBench asks about the whole clip."""

    items: Sequence[Item]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Item:  # type: ignore[override]  # nobody slices
        item = self.items[index]
        return item if isinstance(item, CaptionItem) else replace(item, start_s=None, end_s=None)


def open_parts(wanted: Evaluate, *, frames: int, size_px: int) -> list[Part]:
    """A part for each task, of at most `limit` rows.

    Args:
        wanted: What to evaluate.
        frames: Frames of a clip.
        size_px: Side of the square pictures.

    Raises:
        AnnotationsError: With all faults of the first faulty file.
    """
    return [
        Part(task.name, dataset, range(min(len(dataset), wanted.limit or len(dataset))))
        for task in wanted.tasks
        for dataset in [
            ClipDataset(
                [_open(task)],
                frames=frames,
                size_px=size_px,
                train=False,
                sample=wanted.sample,
                max_tiles=wanted.tiles,
            )
        ]
    ]


def rows_of(part: Part) -> Iterator[Item]:
    """The rows of a part, in order."""
    return (part.dataset.find(index)[1] for index in part.indices)


def _open(task: Task) -> MediaSet:
    opened = open_set(
        task.annotations,
        task.media or task.annotations.parent,
        name=task.name,
        kind=None if task.fps is None else "frames",
        fps=task.fps,
    )
    return opened if task.bounds else replace(opened, items=Whole(opened.items))
