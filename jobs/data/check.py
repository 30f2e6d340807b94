"""Says what one set of a corpus holds and what is wrong with it, as JSON on stdout.

`python -m jobs.data.check --set JSON` is what `launcher data check` runs for each set: on the
login node reading ten million rows belongs in no process that also talks to Slurm. Only
`--decode` needs the packages for training.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from jobs.contract.spec import DataSet
from jobs.data.annotations import MEDIA_CHECKED, Rows, examine_set, missing_media
from jobs.data.errors import AnnotationsError, Fault
from jobs.data.items import FORMS, ChoiceItem, MediaSet

SHOWN = 20
FRAMES, SIZE_PX = 8, 32
"""Of a clip that is decoded to see whether it can be."""


class Report:
    """What is found out about a set, piece by piece.

    Attributes:
        told: as JSON shows it.
    """

    def __init__(self) -> None:
        self.told: dict[str, Any] = {
            "rows": None, "kind": None, "media_form": None, "forms": {}, "looked_for": 0,
            "decoded": 0, "faults": [], "fault_count": 0,
        }  # fmt: skip

    def add(self, faults: Sequence[Fault], total: int | None = None) -> None:
        """Counts all, shows the first."""
        shown = [vars(fault) | {"file": str(fault.file)} for fault in faults]
        self.told["faults"] += shown[: SHOWN - len(self.told["faults"])]
        self.told["fault_count"] += len(faults) if total is None else total


def check_set(
    wanted: DataSet, *, name: str, every_file: bool = False, decode: int = 0, choices: bool = False
) -> dict[str, Any]:
    """Checks rows, media root and media files of a set.

    Args:
        wanted: the set.
        name: what it is called.
        every_file: look for all media files, not only for `MEDIA_CHECKED`.
        decode: this many files, spread over the set, are decoded.
        choices: it is a task of an evaluation, so every row has candidates.

    Returns:
        See `Report`: rows, kind, forms, and the first faults with the count of all.
    """
    report = Report()
    root = wanted.media or wanted.annotations.parent
    try:
        opened, faults = examine_set(
            wanted.annotations, root, name=name, kind=wanted.kind, fps=wanted.fps
        )
    except AnnotationsError as error:
        report.add(error.faults, error.total)
        return report.told
    report.add(faults)
    report.told |= {"rows": len(opened.items), "kind": opened.kind}
    report.told |= {"media_form": opened.media_form, "forms": forms_of(opened)}
    if choices:
        report.add(_without_choice(opened, wanted.annotations))
    if faults:  # no root, or rows of another kind: each file would be a fault of its own
        return report.told
    if opened.kind != "text":
        at_most = None if every_file else MEDIA_CHECKED
        _look_for_media(report, opened, wanted.annotations, at_most)
        _decode(report, opened, wanted.annotations, decode)
    return report.told


def forms_of(opened: MediaSet) -> dict[str, int]:
    """How many rows of a set are captions, conversations, choices."""
    return opened.items.source.header.forms if isinstance(opened.items, Rows) else {}


def _without_choice(opened: MediaSet, annotations: Path) -> list[Fault]:
    if set(forms_of(opened)) == {FORMS[ChoiceItem]}:
        return []
    what = "has no 'question' with 'candidates', which a task of an evaluation needs"
    rows = (i for i, item in enumerate(opened.items) if not isinstance(item, ChoiceItem))
    return [Fault(annotations, row, "", what) for row in rows]


def _look_for_media(
    report: Report, opened: MediaSet, annotations: Path, at_most: int | None
) -> None:
    count = len(opened.items)
    every = 1 if at_most is None else -(-count // at_most)
    report.told["looked_for"] = -(-count // every)
    faults = missing_media(opened, annotations, at_most=at_most)
    while some := list(islice(faults, 1_000)):
        report.add(some)


def _decode(report: Report, opened: MediaSet, annotations: Path, decode: int) -> None:
    """Decodes as training does, through the same door, what is there."""
    count = len(opened.items)
    rows = range(0, count, max(1, count // decode))[:decode] if decode else range(0)
    there = [row for row in rows if (opened.root / str(opened.items[row].media)).exists()]
    if not there:
        return
    from jobs.data.dataset import BadClip, ClipDataset, SampleKey  # noqa: PLC0415 - needs torch

    dataset = ClipDataset([opened], frames=FRAMES, size_px=SIZE_PX, train=False)
    for row in there:
        sample = dataset[SampleKey(0, row)]
        if isinstance(sample, BadClip):
            what = f"{sample.file!r} does not decode: {sample.error_class}: {sample.text}"
            report.add([Fault(annotations, row, opened.kind, what)])
    report.told["decoded"] = len(there)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; 0 whatever is found, 2 for a call that makes no sense."""
    parser = argparse.ArgumentParser(prog="python -m jobs.data.check")
    parser.add_argument("--set", required=True, help="one of `data` of a pipeline file, JSON")
    parser.add_argument("--name", required=True, help="what the set is called")
    parser.add_argument("--all", action="store_true", help="look for every media file")
    parser.add_argument("--decode", type=int, default=0, metavar="N", help="decode N files")
    parser.add_argument("--choices", action="store_true", help="it is a task of an evaluation")
    args = parser.parse_args(argv)
    told = check_set(
        DataSet.model_validate_json(args.set),
        name=args.name,
        every_file=args.all,
        decode=args.decode,
        choices=args.choices,
    )
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
