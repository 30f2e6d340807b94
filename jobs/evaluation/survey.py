"""All rows that an evaluation asks about: dealt out to the ranks, stopped, and gone on with."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import torch.distributed as dist

from jobs.checkpoint.resume import find_resume_point
from jobs.contract.evaluation import Evaluate
from jobs.data.dataset import BadClip, ClipDataset
from jobs.data.loader import Batch, evaluation_loader
from jobs.data.sampler import RankShare
from jobs.distributed import on_rank_0
from jobs.evaluation.answers import (
    Answer,
    AnswerLog,
    Key,
    answers_folder,
    as_text,
    fingerprint_of,
    read_answers,
)
from jobs.evaluation.saving import save
from jobs.job import Job, StoppedError
from jobs.reporter import tell_bad_clips

ANSWERS = "answers.jsonl"
TELL_EVERY_S = 10.0

Ask = Callable[[Batch], dict[int, Answer]]
"""Gives an answer, which JSON can hold, for each sample and each bad clip of a batch."""


@dataclass(frozen=True)
class Part:
    """Rows of one set that are asked about together.

    Attributes:
        name: As in the answers; no two parts are called the same.
        dataset: Their clips.
        indices: Which of the set's rows.
    """

    name: str
    dataset: ClipDataset
    indices: Sequence[int]


class Survey:
    """How far an evaluation has come, over all ranks and attempts.

    Args:
        job: The rank's job; all ranks make a survey at the same place.
        wanted: What to evaluate.
        parts: All that will be asked.

    Attributes:
        step: Rows answered, on all ranks.
    """

    def __init__(self, job: Job, wanted: Evaluate, parts: Sequence[Part]) -> None:
        self._job, self._wanted = job, wanted
        self._over = [part.dataset.over for part in parts]
        self._hurries = False
        job.stop.hurry_with(self._hurry)
        self._fingerprint = on_rank_0(lambda: fingerprint_of(job))
        self._known = self._read({(part.name, i) for part in parts for i in part.indices})
        self._log = AnswerLog(job, self._fingerprint)
        self._bad: list[BadClip] = []
        self._told_at = time.monotonic()
        self.step = len(self._known)
        job.reached.step = self.step
        total = sum(len(part.indices) for part in parts)
        job.tell("started", resume_step=self.step, total_steps=total, epochs=1)

    def over(self, part: Part, ask: Ask) -> list[Answer]:
        """The answers to a part, in the order of its rows, the same on all ranks.

        Only what is not answered yet is asked. Between two batches the ranks look whether they
        are to stop; one that has had all of its own goes on as often as the one with the most.

        Raises:
            StoppedError: Stopped on a signal; what is answered is saved.
            RefusedError: A newer attempt took over.
        """
        left = [index for index in part.indices if (part.name, index) not in self._known]
        share = RankShare(
            self._job.place.rank, self._job.place.world_size, self._wanted.batch_per_gpu
        )
        workers = self._wanted.workers
        loader = evaluation_loader(part.dataset, share, num_workers=workers, indices=left)
        batches, own, missed = iter(loader), dict[Key, Answer](), 0
        each = share.world_size * share.micro_batch
        for first in range(0, len(left), each):
            if self._job.stop.agreed():
                self._stop(own)
            batch = next(batches, None)
            if batch is not None and self._hurries:
                missed += 1  # a clip that nobody waited for is no answer
            elif batch is not None:
                own |= self._asked(part, batch, ask)
            self._advance(min(each, len(left) - first))
        if left:
            if self._job.stop.agree(missed).counts != (0,):
                self._stop(own)
            self._keep(own)
        return [self._known[part.name, index] for index in part.indices]

    def _hurry(self) -> None:
        """Waits for no clip any more, on a signal: the ranks are to agree soon."""
        self._hurries = True
        for over in self._over:
            over.put(up=True)

    def _stop(self, own: dict[Key, Answer]) -> NoReturn:
        self._keep(own)
        raise StoppedError(self.step)

    def _read(self, wanted: set[Key]) -> dict[Key, Answer]:
        """What earlier attempts were answered; rank 0 reads, so that all know the same."""
        resume = find_resume_point(self._job.folder)
        for path, reason in resume.bad:
            self._job.tell("bad_checkpoint", path=str(path), reason=reason)
        saved = [resume.newest[0] / ANSWERS] if resume.newest else []
        saved = [path for path in saved if path.exists()]  # the final one has results instead

        def read() -> dict[Key, Answer]:
            files = [*saved, *sorted(answers_folder(self._job).glob("*.jsonl"))]
            return read_answers(files, self._fingerprint)

        found = on_rank_0(read)
        return {key: answer for key, answer in found.items() if key in wanted}

    def _asked(self, part: Part, batch: Batch, ask: Ask) -> dict[Key, Answer]:
        answers = ask(batch)
        self._log.write(part.name, answers)
        tell_bad_clips(self._job, batch.bad)
        self._bad += batch.bad
        return {(part.name, index): answer for index, answer in answers.items()}

    def _advance(self, rows: int) -> None:
        self.step += rows
        self._job.reached.step = self.step
        if time.monotonic() - self._told_at >= TELL_EVERY_S:
            self._tell()

    def _tell(self) -> None:
        self._job.tell("step", step=self.step, epoch=0)
        self._told_at = time.monotonic()

    def _keep(self, own: dict[Key, Answer]) -> None:
        """Brings the ranks' answers together, tells what others could not read, and saves."""
        empty: tuple[dict[Key, Answer], list[BadClip]] = {}, []
        gathered = [empty for _ in range(self._job.place.world_size)]
        dist.all_gather_object(gathered, (own, self._bad))
        self._bad = []
        for rank, (answers, bad) in enumerate(gathered):
            self._known |= answers
            if rank != self._job.place.rank:
                tell_bad_clips(self._job, bad if self._job.place.rank == 0 else ())
        self.step = self._job.reached.step = len(self._known)
        self._tell()
        save(
            self._job,
            self.step,
            {ANSWERS: as_text(self._known, self._fingerprint)},
            final=False,
        )
