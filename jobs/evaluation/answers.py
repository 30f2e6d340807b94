"""Answers already given, kept line by line, so that a stopped evaluation asks only the rest.

Notable: each rank of each attempt appends to a file of its own, so no two processes ever write
into one. A line that a kill has cut off is passed over and asked again. The first line says
what was asked of which weights; a file that answers something else is not read.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jobs.contract.manifest import done_marker
from jobs.job import Job

Answer = dict[str, Any]
Key = tuple[str, int]
"""Name of the part and index of the row in it."""


class AnswerLog:
    """One rank's answers of this attempt, on the disk as soon as they are given.

    Args:
        job: The rank's job.
        fingerprint: What is asked, see `fingerprint_of`.
    """

    def __init__(self, job: Job, fingerprint: str) -> None:
        place = job.place
        self._path = answers_folder(job) / f"{place.attempt}.rank-{place.rank:05d}.jsonl"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._append(_header(fingerprint))

    def write(self, part: str, answers: Mapping[int, Answer]) -> None:
        """Appends the answers of a batch."""
        self._append(_lines({(part, index): answer for index, answer in answers.items()}))

    def _append(self, text: str) -> None:
        # Opened anew: on NFS the text is on its way to the server when the file is closed.
        with self._path.open("a", encoding="utf-8") as file:
            file.write(text)


def answers_folder(job: Job) -> Path:
    """Where the ranks of all attempts keep their answers."""
    return job.folder.root / "answers"


def fingerprint_of(job: Job) -> str:
    """A digest of all that the answers follow from: weights, model, questions, settings."""
    wanted = job.spec.evaluate
    found = job.spec.init_from and done_marker(
        job.run.stage(job.spec.init_from).checkpoints, digests=False
    )
    weights = [(file.name, file.bytes, file.sha256) for file in found[1].files] if found else []
    files = [task.annotations.stat() for task in wanted.tasks] if wanted else []
    asked = {
        "evaluate": wanted and wanted.model_dump(mode="json", exclude={"workers"}),
        "model": job.spec.model.model_dump(mode="json"),
        "weights": weights,
        "annotations": [(file.st_size, file.st_mtime_ns) for file in files],
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def as_text(answers: Mapping[Key, Answer], fingerprint: str) -> str:
    """Answers as the text of one file, which `read_answers` reads."""
    return _header(fingerprint) + _lines(answers)


def read_answers(paths: Iterable[Path], fingerprint: str) -> dict[Key, Answer]:
    """The answers of all files that were given to what is asked now.

    Of two answers to one question the first counts: they are alike, as nothing is drawn.
    """
    found: dict[Key, Answer] = {}
    for path in paths:
        with path.open(encoding="utf-8") as file:
            if next(file, "") != _header(fingerprint):
                continue
            for line in file:
                if row := _parsed(line):
                    found.setdefault((row["part"], row["index"]), row["answer"])
    return found


def _parsed(line: str) -> dict[str, Any] | None:
    """A line's row; None where a kill has cut it off."""
    try:
        row: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return row


def _header(fingerprint: str) -> str:
    return json.dumps({"fingerprint": fingerprint}) + "\n"


def _lines(answers: Mapping[Key, Answer]) -> str:
    rows = (
        {"part": part, "index": index, "answer": answer}
        for (part, index), answer in answers.items()
    )
    return "".join(json.dumps(row) + "\n" for row in rows)
